"""Reads tar archives as a stream: plain, gzip and xz, without trusting any number in them. No I/O of its own.

Owns the format (POSIX ustar and pax, pax(1); GNU's long names and base-256 sizes) and the bounds on reading: memory
does not grow with what the archive claims. What members may be is `archive`'s business, compression `decompress`'s. The
standard library's tarfile is not used, because it reads extended headers of any size into memory.

Order of calls: `members(...)` yields (Member, content); a content is an iterator of pieces, and what is not read of it
is passed over when the next member is asked for. After the last one the archive has been read to its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from .archive import REASONS_MAX, BadArtifact, Judge, Kind, Member, unpacked_limit
from .decompress import PIECE, Read, decompressed

BLOCK = 512
EXTENDED_MAX = 256 << 10  # a pax header or a GNU long name
ZEROS = bytes(BLOCK)

_KINDS = {
    b"0": Kind.FILE, b"\0": Kind.FILE, b"7": Kind.FILE, b"1": Kind.HARDLINK, b"2": Kind.SYMLINK, b"3": Kind.DEVICE,
    b"4": Kind.DEVICE, b"5": Kind.FOLDER, b"6": Kind.FIFO, b"S": Kind.SPARSE,
}  # fmt: skip
# After these the next header is where it should be; others may have content in ways of their own.
_READABLE = {Kind.FILE, Kind.FOLDER, Kind.SYMLINK, Kind.HARDLINK, Kind.DEVICE, Kind.FIFO}


def members(read: Read, archive_size: int) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """The members of the archive that `read` gives. Raises BadArtifact where it is no archive, or ends early.

    `archive_size`, in bytes, bounds what is unpacked.
    """
    # Headers and padding count too, and are at most as much again for any archive but one of empty files.
    source = _Source(decompressed(read, 2 * unpacked_limit(archive_size) + (1 << 20)))
    extended: dict[str, str] = {}
    while (block := source.exactly(BLOCK)) != ZEROS:
        kind, size = _checked(block)
        if kind in {b"x", b"g", b"L", b"K"}:
            found = _extension(kind, source.exactly(_padded(size, EXTENDED_MAX))[:size])
            extended |= {} if kind == b"g" else found
            continue
        member = _member(block, kind, size, extended)
        extended = {}
        content = _Content(source, member.size if member.kind is Kind.FILE else 0)
        yield member, iter(content)
        content.finish()
    source.only_zeros()


def inspect(read: Read, archive_size: int) -> list[str]:
    """All reasons against the archive, also that it is none; empty if it may be unpacked. Reads as far as needed."""
    whole = Judge(archive_size)
    reasons: list[str] = []
    try:
        for member, _ in members(read, archive_size):
            reasons += whole.add(member)
            if whole.hopeless or len(reasons) >= REASONS_MAX or member.kind not in _READABLE:
                break
    except BadArtifact as error:
        reasons.append(str(error))
    return reasons


class _Source:
    """Bytes in the amounts that the reader wants."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""

    def some(self, most: int) -> bytes:
        """At least one byte, at most `most`."""
        if not self._held:
            self._held = next(self._pieces, b"")
        if not self._held:
            raise BadArtifact("the archive ends early: it was cut short")
        piece, self._held = self._held[:most], self._held[most:]
        return piece

    def exactly(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            found += self.some(count - len(found))
        return bytes(found)

    def only_zeros(self) -> None:
        """The rest, which decompressors check to its end."""
        for piece in chain([self._held], self._pieces):
            if piece.strip(b"\0"):
                raise BadArtifact("there is more after the archive's end")
        self._held = b""


class _Content:
    """The content of one member, in pieces."""

    def __init__(self, source: _Source, size: int) -> None:
        self._source = source
        self._left = size
        self._padding = -size % BLOCK

    def __iter__(self) -> Iterator[bytes]:
        while self._left:
            piece = self._source.some(min(self._left, PIECE))
            self._left -= len(piece)
            yield piece

    def finish(self) -> None:
        for _ in self:
            pass
        self._source.exactly(self._padding)


def _checked(block: bytes) -> tuple[bytes, int]:
    """Type and size of a header whose checksum is right."""
    stored = _number(block[148:156])
    if stored != sum(block[:148]) + 8 * 0x20 + sum(block[156:]):
        raise BadArtifact("it is no tar archive, or a damaged one")
    return block[156:157], _number(block[124:136])


def _padded(size: int, most: int) -> int:
    if size > most:
        raise BadArtifact(f"an extended header of {size} bytes, at most {most} are taken")
    return size + -size % BLOCK


def _member(block: bytes, kind: bytes, size: int, extended: dict[str, str]) -> Member:
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    name = extended.get("path", name)
    found = _KINDS.get(kind, Kind.OTHER)
    if found is Kind.FILE and kind == b"\0" and name.endswith("/"):
        found = Kind.FOLDER  # as archives before POSIX say it
    if any(key.startswith("GNU.sparse.") for key in extended):
        found = Kind.SPARSE
    if "size" in extended:
        size = _decimal(extended["size"])
    link = extended.get("linkpath", _text(block[157:257]))
    # Some writers give links the size of what they lead to; no content follows (pax(1)).
    bare = found in {Kind.HARDLINK, Kind.SYMLINK, Kind.FOLDER}
    return Member(name, found, 0 if bare else size, _number(block[100:108]) & 0o7777, link)


def _extension(kind: bytes, body: bytes) -> dict[str, str]:
    """What a header before a member says about it."""
    if kind in {b"L", b"K"}:
        return {"path" if kind == b"L" else "linkpath": _text(body)}
    found = {}
    at = 0
    while at < len(body):
        space = body.find(b" ", at, at + 8)
        length = _decimal(body[at:space].decode("ascii", "replace")) if space > at else 0
        record = body[at : at + length]
        if length < 5 or len(record) < length or record[-1:] != b"\n":
            raise BadArtifact("a damaged extended header")
        key, equals, value = record[space - at + 1 : -1].partition(b"=")
        if not equals:
            raise BadArtifact("a damaged extended header")
        found[_decoded(key)] = _decoded(value)
        at += length
    return found


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise BadArtifact("a damaged extended header")
    return int(text)


def _number(field: bytes) -> int:
    """An octal number, or GNU's base-256."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:])
    digits = field.strip(b" \0")
    if not all(0x30 <= digit <= 0x37 for digit in digits):
        raise BadArtifact("it is no tar archive, or a damaged one")
    return int(digits or b"0", 8)


def _text(field: bytes) -> str:
    return _decoded(field.partition(b"\0")[0])


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")  # `archive` refuses what is not UTF-8
