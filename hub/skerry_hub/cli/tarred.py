"""An archive's members as the shared rules judge them, so that an operator hears what is wrong before it is pushed.

The rules are skerry_protocol.archive's; the hub and each node hold the archive to them again.
"""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from skerry_protocol.archive import Kind, Member, judge

UNREADABLE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError, OverflowError)


def faults(path: Path, size: int) -> list[str]:
    """Why a node would not unpack the archive at `path` (of `size` bytes); empty where it would. Raises OSError."""
    try:
        with tarfile.open(path, "r:*", errors="surrogateescape") as archive:
            return judge(members(archive), size)
    except UNREADABLE as error:
        return [f"it cannot be read as a tar archive: {error or type(error).__name__}"]


def members(archive: tarfile.TarFile) -> Iterator[Member]:
    """The headers, one after another: of a bomb no more is read than shows that it is one."""
    for one in archive:
        archive.members = []  # tarfile keeps every header it has seen
        yield Member(one.name, kind(one), one.size, one.mode, one.linkname)


def kind(one: tarfile.TarInfo) -> Kind:
    """What a member is."""
    if one.issparse():
        return Kind.SPARSE
    if one.isreg():
        return Kind.FILE
    if one.isdir():
        return Kind.FOLDER
    if one.issym():
        return Kind.SYMLINK
    if one.islnk():
        return Kind.HARDLINK
    if one.ischr() or one.isblk():
        return Kind.DEVICE
    return Kind.FIFO if one.isfifo() else Kind.OTHER
