"""Compressed bytes to plain ones, piece by piece, up to a limit. No I/O of its own.

Owns which compressions an artifact may have (none, gzip, xz), told by the first bytes and not by a name. Must never
hold more than a piece, whatever the data unpacks to. The libraries are loaded with the first data that needs one: most
nodes never see any.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

from .archive import BadArtifact

Read = Callable[[int], bytes]  # at most so many bytes, b"" at the end

PIECE = 256 << 10
XZ_MEMORY = 128 << 20
GZIP = b"\x1f\x8b"
XZ = b"\xfd7zXZ\0"
CUT_SHORT = "the archive ends early: it was cut short"
FOREIGN = (
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd"),
    (b"BZh", "it is compressed with bzip2"),
    (b"PK\x03\x04", "it is a zip file"),
    (b"\x1f\x9d", "it is compressed with compress"),
)


def decompressed(read: Read, limit: int) -> Iterator[bytes]:
    """The plain bytes, at most `limit` of them. Raises BadArtifact for more, for damaged and foreign data."""
    start = read(PIECE)
    for magic, what in FOREIGN:
        if start.startswith(magic):
            raise BadArtifact(f"{what}; it has to be a tar archive, plain or compressed with gzip or xz")
    if not start:
        raise BadArtifact("it is empty")
    total = 0
    for piece in _unpacked(start, read):
        total += len(piece)
        if total > limit:
            raise BadArtifact(f"it unpacks to more than {limit} bytes")
        yield piece


def _unpacked(start: bytes, read: Read) -> Iterator[bytes]:
    if start.startswith(GZIP):
        return _several(start, read, _gzip)
    return _several(start, read, _xz) if start.startswith(XZ) else _plain(start, read)


def _plain(data: bytes, read: Read) -> Iterator[bytes]:
    while data:
        yield data
        data = read(PIECE)


# One stream: plain pieces come out, and the bytes after its end are given back.
_Stream = Callable[[bytes, Read], Generator[bytes, None, bytes]]


def _several(data: bytes, read: Read, stream: _Stream) -> Iterator[bytes]:
    """One stream after another (pigz, bgzip and pixz write many); zeros after the last one are padding."""
    while data.strip(b"\0"):
        data = (yield from stream(data, read)) or read(PIECE)


def _gzip(data: bytes, read: Read) -> Generator[bytes, None, bytes]:
    import zlib  # noqa: PLC0415 - see above

    unpacker = zlib.decompressobj(wbits=31)
    while True:
        if not data:
            raise BadArtifact(CUT_SHORT)
        try:
            piece = unpacker.decompress(data, PIECE)
        except zlib.error as error:
            raise BadArtifact(f"its gzip data is damaged: {error}") from error
        if piece:
            yield piece
        if unpacker.eof:
            return unpacker.unused_data
        data = unpacker.unconsumed_tail or read(PIECE)


def _xz(data: bytes, read: Read) -> Generator[bytes, None, bytes]:
    import lzma  # noqa: PLC0415 - see above

    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
    while True:
        try:
            piece = unpacker.decompress(data, PIECE)
        except lzma.LZMAError as error:
            raise BadArtifact(f"its xz data cannot be read: {error}") from error
        if piece:
            yield piece
        if unpacker.eof:
            return unpacker.unused_data
        data = read(PIECE) if unpacker.needs_input else b""
        if unpacker.needs_input and not data:
            raise BadArtifact(CUT_SHORT)
