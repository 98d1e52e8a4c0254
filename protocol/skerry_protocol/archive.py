"""What a safe archive may contain. Pure: judges members by their headers, touches no file.

Owns the rules; the hub holds a pushed archive to them, and each node holds it to them again while it unpacks, because a
node trusts a digest, not a hub. An archive that passes can be unpacked member by member into an empty folder without
following a link, and no link in it leads out of that folder, whatever other links it passes through:

- no member lies beneath a link, so the folder that a link is in is where its path says;
- a link's target may begin with `..` as often as there are folders above it, and has none after that.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

MEMBERS_MAX = 100_000
UNPACKED_MAX = 4 << 30
RATIO_MAX = 200
RATIO_FREE = 1 << 20  # below this the ratio doesn't count: tar pads a few bytes to 10 KiB
PATH_MAX = 1024
PART_MAX = 255
DEPTH_MAX = 64
REASONS_MAX = 20
SET_ID = 0o6000


class BadArtifact(ValueError):
    """An archive that is not what it should be. The text is the reason, in words for the operator."""


class Kind(StrEnum):
    """What a member is. Only the first four may be there."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"
    DEVICE = "device"
    FIFO = "fifo"
    SPARSE = "sparse file"
    OTHER = "member of an unknown type"


class Member(Struct, frozen=True):
    """One member's header. `name` and `link` as they stand in the archive; `size` in bytes, of a file's content."""

    name: str
    kind: Kind
    size: int = 0
    mode: int = 0o644
    link: str = ""


def unpacked_limit(archive_size: int) -> int:
    """The most bytes that an archive of this size may unpack to."""
    return min(UNPACKED_MAX, max(RATIO_MAX * archive_size, RATIO_FREE))


class Judge:
    """Judges the members of one archive in their order. `add` says what is wrong with each; nothing means take it."""

    def __init__(self, archive_size: int) -> None:
        self._limit = unpacked_limit(archive_size)
        self._seen: dict[str, Kind] = {"": Kind.FOLDER}
        self._members = 0
        self._size = 0
        self.hopeless = False  # over a limit: nothing after that needs to be looked at

    def add(self, member: Member) -> list[str]:
        """Reasons against `member`, each naming it."""
        self._members += 1
        self._size += member.size
        if self._members > MEMBERS_MAX or self._size > self._limit:
            self.hopeless = True
            members = self._members > MEMBERS_MAX
            return [
                f"more than {MEMBERS_MAX} members"
                if members
                else f"it unpacks to more than {self._limit} bytes"
            ]
        path = normal(member.name)
        reasons = list(_name_faults(member.name)) or [
            *self._place_faults(path, member),
            *_kind_faults(member),
        ]
        if not reasons:
            reasons = self._link_faults(path, member)
        if not reasons:
            self._enter(path, member.kind)
        return [f"{_shown(member.name)}: {reason}" for reason in reasons]

    def _place_faults(self, path: str, member: Member) -> list[str]:
        there = self._seen.get(path)
        if there is not None and not (there is Kind.FOLDER and member.kind is Kind.FOLDER):
            return ["it is there twice"] if path else ["only a folder can be the root"]
        for above in _above(path):
            if self._seen.get(above, Kind.FOLDER) is not Kind.FOLDER:
                return [f"it lies beneath {_shown(above)}, a {self._seen[above]}"]
        return []

    def _link_faults(self, path: str, member: Member) -> list[str]:
        if member.kind is Kind.SYMLINK and not _stays_inside(path, member.link):
            return [f"a link that leads out, to {_shown(member.link)}"]
        if member.kind is Kind.HARDLINK:
            bad = list(_name_faults(member.link))
            if bad or self._seen.get(normal(member.link)) is not Kind.FILE:
                return [f"a hard link to {_shown(member.link)}, which is no file before it in the archive"]
        return []

    def _enter(self, path: str, kind: Kind) -> None:
        for above in _above(path):
            if above not in self._seen:
                self._members += 1  # a folder that is there only by its name still has to be made
                self._seen[above] = Kind.FOLDER
        self._seen[path] = Kind.FILE if kind is Kind.HARDLINK else kind


def judge(members: Iterable[Member], archive_size: int) -> list[str]:
    """Everything that is wrong with an archive of `archive_size` bytes, at most REASONS_MAX reasons; empty: nothing."""
    whole = Judge(archive_size)
    reasons: list[str] = []
    for member in members:
        reasons += whole.add(member)
        if len(reasons) >= REASONS_MAX:
            return [*reasons[: REASONS_MAX - 1], "and more"]
    return reasons


def normal(name: str) -> str:
    """The path of a member below the root: without `./` and slashes at its end; the root itself is ""."""
    return "/".join(part for part in name.split("/") if part not in {"", "."})


def _name_faults(name: str) -> Iterable[str]:
    parts = name.split("/")
    if not name or "\0" in name:
        yield "an empty name, or one with a zero byte"
    elif name.startswith("/"):
        yield "an absolute path"
    elif ".." in parts:
        yield "a path with '..'"
    elif any(0xD800 <= ord(char) <= 0xDFFF for char in name):
        yield "a name that is not UTF-8"
    elif len(name.encode()) > PATH_MAX or any(len(part.encode()) > PART_MAX for part in parts):
        yield f"a path of more than {PATH_MAX} bytes, or a name in it of more than {PART_MAX}"
    elif len(parts) > DEPTH_MAX:
        yield f"more than {DEPTH_MAX} folders below each other"


def _kind_faults(member: Member) -> Iterable[str]:
    if member.kind in {Kind.DEVICE, Kind.FIFO, Kind.SPARSE, Kind.OTHER}:
        yield f"a {member.kind}"
    elif member.kind is Kind.FILE and member.mode & SET_ID:
        yield "a file with the set-user-id or set-group-id bit"
    elif member.kind is not Kind.FILE and member.size:
        yield f"a {member.kind} with content"


def _above(path: str) -> Iterable[str]:
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def _stays_inside(path: str, target: str) -> bool:
    """See the module's docstring for why `..` may stand at the beginning only."""
    if target.startswith("/") or list(_name_faults(target.replace("..", "up"))):
        return False
    parts = [part for part in target.split("/") if part not in {"", "."}]
    ups = 0
    while ups < len(parts) and parts[ups] == "..":
        ups += 1
    return ".." not in parts[ups:] and ups <= path.count("/")


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 80 else name[:80] + "...")
