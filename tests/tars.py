"""Builds archives for tests, good and hostile, with the standard library's tarfile as the writer."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile

from skerry_protocol.app import Artifact

TYPES = {
    "file": tarfile.REGTYPE,
    "folder": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "char": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "contiguous": tarfile.CONTTYPE,
    "unknown": b"Z",
}


def entry(
    name: str, kind: str = "file", content: bytes = b"", link: str = "", mode: int = 0o644
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = TYPES[kind]
    info.size = len(content)
    info.linkname = link
    info.mode = mode
    info.uid = info.gid = 1234
    return info, content


def tar(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def packed(data: bytes, how: str) -> bytes:
    return {"tar": lambda: data, "gz": lambda: gzip.compress(data, 6), "xz": lambda: lzma.compress(data)}[
        how
    ]()


def artifact(data: bytes) -> Artifact:
    return Artifact(hashlib.sha256(data).hexdigest(), len(data))


GOOD = tar(
    entry("./", "folder", mode=0o2775),
    entry("./bin", "folder"),
    entry("./bin/serve", content=b"#!/bin/sh\n", mode=0o750),
    entry("./etc/deep/motd", content=b"hello" * 1000),
    entry("./bin/latest", "symlink", link="serve"),
    entry("./etc/up", "symlink", link="../bin/./serve"),
    entry("./etc/same", "hardlink", link="./bin/serve"),
    entry("./" + "long/" * 30 + "name" * 20, content=b"x"),
    entry("./ünïcode", content=b"y"),
)

# What each is refused for.
HOSTILE: dict[str, tuple[bytes, str]] = {
    "up": (tar(entry("../x")), "'..'"),
    "up inside": (tar(entry("a/../../x")), "'..'"),
    "absolute": (tar(entry("/etc/passwd")), "absolute"),
    "twice": (tar(entry("a", content=b"1"), entry("./a", content=b"2")), "twice"),
    "file then folder": (tar(entry("a"), entry("a", "folder")), "twice"),
    "root is a link": (tar(entry("./", "symlink", link="a")), "root"),
    "link out": (tar(entry("a", "symlink", link="../etc")), "leads out"),
    "link absolute": (tar(entry("a", "symlink", link="/etc")), "leads out"),
    "link empty": (tar(entry("a", "symlink")), "leads out"),
    "link out from a folder": (tar(entry("d/a", "symlink", link="../../etc")), "leads out"),
    "link through a link": (
        tar(entry("a/b/up", "symlink", link="../.."), entry("c/d/out", "symlink", link="../../a/b/up/..")),
        "leads out",
    ),
    "beneath a link": (
        tar(entry("d", "folder"), entry("a", "symlink", link="d"), entry("a/b", content=b"x")),
        "beneath",
    ),
    "link over a folder": (tar(entry("a/b"), entry("a", "symlink", link="b")), "twice"),
    "beneath a file": (tar(entry("a"), entry("a/b")), "beneath"),
    "hard link out": (tar(entry("a", "hardlink", link="/etc/shadow")), "hard link"),
    "hard link up": (tar(entry("a", "hardlink", link="../x")), "hard link"),
    "hard link to nothing": (tar(entry("a", "hardlink", link="b")), "hard link"),
    "hard link to a link": (
        tar(entry("b", "symlink", link="c"), entry("a", "hardlink", link="b")),
        "hard link",
    ),
    "character device": (tar(entry("null", "char")), "device"),
    "block device": (tar(entry("sda", "block")), "device"),
    "fifo": (tar(entry("pipe", "fifo")), "fifo"),
    "set-user-id": (tar(entry("su", mode=0o4755)), "set-user-id"),
    "set-group-id": (tar(entry("sg", mode=0o2755)), "set-group-id"),
    "unknown": (tar(entry("x", "unknown")), "unknown"),
    "long path": (tar(entry("/".join(["a" * 200] * 6))), "more than 1024"),
    "long name": (tar(entry("a" * 256)), "more than 255"),
    "deep": (tar(entry("a/" * 70 + "b")), "below each other"),
    "not UTF-8": (tar(entry("\udcff"), form=tarfile.GNU_FORMAT), "UTF-8"),
    "zero byte": (tar(entry("a" * 101 + "\0b")), "zero byte"),
    "bomb": (gzip.compress(tar(entry("zeros", content=bytes(30 << 20)))), "unpacks to more"),
    "bomb after the end": (gzip.compress(GOOD + bytes(16 << 20)), "unpacks to more"),
    "no name": (tar(entry("")), "empty name"),
    "empty": (b"", "empty"),
    "text": (b"hello, this is no archive" * 100, "no tar archive"),
    "zip": (b"PK\x03\x04" + bytes(600), "zip file"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(600), "zstd"),
    "bzip2": (b"BZh9" + bytes(600), "bzip2"),
    "cut short": (GOOD[: len(GOOD) // 3], "cut short"),
    "gzip cut short": (gzip.compress(GOOD)[:-20], "cut short"),
    "xz cut short": (lzma.compress(GOOD)[:-20], "cut short"),
    "gzip damaged": (gzip.compress(GOOD)[:-6] + bytes(6), "damaged"),
    "no end": (GOOD[: -len(GOOD) % 512 or None].rstrip(b"\0") + bytes(100), "cut short"),
    "more after the end": (GOOD + GOOD, "after the archive's end"),
    "huge extended header": (
        tar(entry("a" * 300_000)),
        "extended header",
    ),
}
