"""The files of instances on disk: unit files, the links that enable them, and folders of content.

Owns one small function per action of a plan, and `seen`, which reads back what the planner wants to know. Every change
is all or nothing and on disk when the call returns; each may be repeated. Must never touch a file whose name does not
begin with `skerry-`, nor an admin's drop-ins.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, field

from skerry_protocol.ids import InstanceId

from ..disk.files import (
    REAL,
    TEMPORARY,
    Files,
    explained,
    link_atomic,
    make_folder,
    remove,
    remove_folder,
    sweep,
    write_atomic,
)
from ..switch.target import Running
from .leaseunits import length_of
from .render import Content, Paths

PREFIX = "skerry-"
# The clock of a file system is coarse, and two writes may be at one moment of it: what is that new is read each time.
SETTLED_NS = 2_000_000_000
SUFFIXES = (".service", ".timer", ".socket", ".target")
# Where systemd keeps what SetUnitProperties set, until the machine goes down.
CONTROL = Path("/run/systemd/system.control")


class Seen(Struct, frozen=True):
    """What is on disk, in the planner's words (see plan.Observed)."""

    files: dict[str, str] = field(default_factory=dict)
    links: frozenset[tuple[str, str]] = frozenset()
    trees: frozenset[tuple[InstanceId, str]] = frozenset()
    current: dict[InstanceId, str] = field(default_factory=dict)


class Look(NamedTuple):
    """A unit file as it was read. `mark`: by what it is known to be the same; None where that can't be told yet."""

    mark: tuple[int, ...] | None
    text: str


class UnitFiles:
    """The folders of `paths`. Whatever writes raises DiskError, with nothing half done."""

    def __init__(self, paths: Paths, files: Files = REAL, control: Path = CONTROL) -> None:
        self._units, self._instances = Path(paths.units), Path(paths.instances)
        self._artifacts = Path(paths.artifacts)
        self._files, self._control = files, control
        self._looks: dict[str, Look] = {}

    def sweep(self) -> None:
        """Clear away what crashes left half made: nobody else may come to the same names again."""
        sweep(self._units, self._files, PREFIX)
        for folder in (*self._wants(), *_folders(self._instances)):
            sweep(folder, self._files)

    def write_unit(self, name: str, text: str) -> None:
        """Put a unit file."""
        self._looks.pop(name, None)
        write_atomic(self._units / _own(name), text.encode(), 0o644, self._files)

    def remove_unit(self, name: str) -> None:
        """Remove a unit file; it may be gone already."""
        self._looks.pop(name, None)
        remove(self._units / _own(name), self._files)

    def enable(self, unit: str, target: str) -> None:
        """Make the target want the unit."""
        folder = self._units / f"{_plain(target)}.wants"
        make_folder(folder, 0o755, self._files)
        link_atomic(folder / _own(unit), f"../{unit}", self._files)

    def disable(self, unit: str, target: str) -> None:
        """The target wants it no more."""
        remove(self._units / f"{_plain(target)}.wants" / _own(unit), self._files)

    def end_fenced_links(self) -> None:
        """No lease starts anything any more."""
        for target, unit in sorted(self._links()):
            if length_of(target) is not None:
                self.disable(unit, target)

    def remove_everywhere(self, unit: str) -> None:
        """Nothing wants the unit, and its file is gone."""
        for target, name in sorted(self._links()):
            if name == unit:
                self.disable(unit, target)
        self.remove_unit(unit)

    def write_tree(
        self, instance: InstanceId, name: str, tree: Mapping[str, Content], artifact: str | None
    ) -> None:
        """Write a content folder under another name, then give it its own: it is never there in part."""
        home = self._instances / _plain(instance)
        make_folder(home, 0o700, self._files)
        draft = home / f"{TEMPORARY}new-{_plain(name)}"
        remove_folder(draft, self._files)
        places = {draft.joinpath(*map(_plain, path.split("/"))): content for path, content in tree.items()}
        try:
            self._fill(draft, places, None if artifact is None else str(self._artifacts / _plain(artifact)))
        except OSError as error:
            raise explained(f"cannot write {home / name}", error) from error
        remove_folder(home / name, self._files)  # there only where it is damaged: names are digests
        self._rename(draft, home / name)

    def _fill(self, draft: Path, places: Mapping[Path, Content], artifact: str | None) -> None:
        """All of it is on disk when this returns. Nothing looks into a draft, so it may be there in part until then."""
        above = {folder for place in places for folder in place.parents if folder.is_relative_to(draft)}
        folders = sorted({draft, *above})
        for folder in folders:
            self._files.mkdir(folder, 0o755)
        for place, content in sorted(places.items()):
            self._files.write(place, content.data, content.mode)
        if artifact is not None:
            self._files.symlink(artifact, draft / "artifact")
        for folder in folders:
            self._files.sync(folder)

    def switch_tree(self, instance: InstanceId, name: str) -> None:
        """Let the instance's `current` lead to this content folder."""
        link_atomic(self._instances / _plain(instance) / "current", _plain(name), self._files)

    def prune_trees(self, instance: InstanceId, keep: Iterable[str]) -> None:
        """Remove the instance's content folders but these, and but the one that `current` leads to.

        A process that runs has mounts of its own of what it was started with.
        """
        home = self._instances / _plain(instance)
        kept = {*keep, _link(home / "current")}
        for path in _folders(home):
            if path.name not in kept:
                remove_folder(path, self._files)

    def remove_instance(self, instance: InstanceId) -> None:
        """Remove an instance's content folders. Its volumes lie elsewhere."""
        remove_folder(self._instances / _plain(instance), self._files)

    def drop_properties(self, unit: str) -> None:
        """Remove the drop-ins that SetUnitProperties left: the running unit has the values, its file says the same."""
        for path in sorted((self._control / f"{_own(unit)}.d").glob("50-*.conf")):
            remove(path, self._files)

    def seen(self, expected: Iterable[Running] = ()) -> Seen:
        """What is there, of content what is `expected`: a folder counts only if it is whole. Never raises."""
        trees, current = set(), {}
        for one in expected:
            name, home = one.instance.id, self._instances / one.instance.id
            if tree := _link(home / "current"):
                current[name] = tree
            if self._is_whole(home / one.rendered.tree_name, one):
                trees.add((name, one.rendered.tree_name))
        return Seen(self._texts(), self._links(), frozenset(trees), current)

    def _is_whole(self, folder: Path, one: Running) -> bool:
        if not folder.is_dir() or folder.is_symlink():
            return False
        artifact = one.rendered.artifact
        if _link(folder / "artifact") != ("" if artifact is None else str(self._artifacts / artifact)):
            return False
        return all(_same(folder / path, content) for path, content in one.rendered.tree.items())

    def _texts(self) -> dict[str, str]:
        now = time.time_ns()
        self._looks = {
            entry.name: _looked(entry, self._looks.get(entry.name), now)
            for entry in _entries(self._units)
            if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIXES) and entry.is_file()
        }
        return {name: look.text for name, look in self._looks.items()}

    def _links(self) -> frozenset[tuple[str, str]]:
        return frozenset(
            (folder.name.removesuffix(".wants"), link.name)
            for folder in _entries(self._units)
            if folder.name.startswith("skerry") and folder.name.endswith(".target.wants")
            for link in _entries(folder.path)
            if link.name.startswith(PREFIX) and _link(link.path) == f"../{link.name}"
        )

    def _wants(self) -> list[Path]:
        found = _listed(self._units)
        return [
            path for path in found if path.name.startswith("skerry") and path.name.endswith(".target.wants")
        ]

    def _rename(self, old: Path, new: Path) -> None:
        try:
            self._files.rename(old, new)
            self._files.sync(new.parent)
        except OSError as error:
            raise explained(f"cannot put {new} in place", error) from error


def _own(name: str) -> str:
    if not name.startswith(PREFIX):
        raise ValueError(f"{name!r} is not a unit of Skerry's own")
    return _plain(name)


def _plain(name: str) -> str:
    if "/" in name or name in {"", ".", ".."} or "\0" in name:
        raise ValueError(f"{name!r} cannot name a file")
    return name


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _folders(folder: Path) -> list[Path]:
    return [
        path
        for path in _listed(folder)
        if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
    ]


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """For what is done for every unit at every change: a path object for each would take most of the time."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _link(path: Path | str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - see _entries
    except OSError:
        return ""


def _looked(entry: os.DirEntry[str], before: Look | None, now_ns: int) -> Look:
    """What is in the file, from `before` where nobody wrote to it since."""
    try:
        stat = entry.stat()
    except OSError:
        return Look(None, "")
    mark = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if before is not None and before.mark == mark:
        return before
    return Look(mark if stat.st_ctime_ns < now_ns - SETTLED_NS else None, _text(entry.path))


def _text(path: str) -> str:
    """What cannot be read differs from every text that was ever rendered."""
    try:
        with open(path, encoding="utf-8", newline="") as file:  # noqa: PTH123 - see _entries
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""


def _same(path: Path, content: Content) -> bool:
    try:
        return path.read_bytes() == content.data and path.stat().st_mode & 0o7777 == content.mode
    except OSError:
        return False
