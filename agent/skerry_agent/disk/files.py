"""The few operations on files that the agent's state is built from, each durable before it returns.

Owns how a write becomes all or nothing: temporary file in the same folder, fsync, rename, fsync of the folder. Every
primitive is a method of `Files`, so that a test can break the n-th one on real files. Never follows a half-written
file: what lies under a temporary name is rubbish of an earlier crash and is swept by `sweep`.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATE = Path("/var/lib/skerry")
TEMPORARY = ".tmp-"
UNPACKING = f"{TEMPORARY}unpack-"  # an artifact that is being unpacked, beside whatever else the agent does


class DiskError(OSError):
    """A write that did not happen; what was there before is still there. The text says what to do."""

    def __str__(self) -> str:
        return str(self.strerror)


class Files:
    """The real file system. Each method is one step that can fail by itself."""

    def write(self, path: Path, data: bytes, mode: int) -> None:
        """A new file with this content and mode, its bytes on disk."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)  # the umask must not have a say
            file.write(data)
            file.flush()
            os.fsync(fd)

    def rename(self, old: Path, new: Path) -> None:
        """`new` is now what `old` was."""
        old.rename(new)

    def sync(self, folder: Path) -> None:
        """The names in `folder` are on disk."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def mkdir(self, folder: Path, mode: int) -> None:
        """The folder is there, with its parents."""
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)  # the umask must not have a say

    def symlink(self, target: str, path: Path) -> None:
        """A new link."""
        path.symlink_to(target)

    def unlink(self, path: Path) -> None:
        """The name is gone, whether or not it was there."""
        path.unlink(missing_ok=True)

    def rmtree(self, folder: Path) -> None:
        """The folder and all in it are gone, whether or not they were there."""
        if folder.is_dir() and not folder.is_symlink():
            remove_tree(folder)


REAL = Files()


def remove_tree(folder: Path) -> None:
    """The folder and all in it. Links in it are removed, never followed. Raises OSError.

    Not by shutil, which loads libraries for archives of every kind: half a megabyte of a process that stays.
    """
    for _, folders, files, at in os.fwalk(folder, topdown=False):
        for name in files:
            os.unlink(name, dir_fd=at)
        for name in folders:
            try:
                os.rmdir(name, dir_fd=at)
            except NotADirectoryError:  # a link to one
                os.unlink(name, dir_fd=at)
    folder.rmdir()


def write_atomic(path: Path, data: bytes, mode: int = 0o644, files: Files = REAL) -> None:
    """Put `data` at `path` so that after any crash it is either the old content or the new, and on disk.

    The folder must be there. Raises DiskError where that cannot be done; the old content stays.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        files.write(temporary, data, mode)
        files.rename(temporary, path)
        files.sync(path.parent)
    except OSError as error:
        raise explained(f"cannot write {path}", error) from error


def link_atomic(path: Path, target: str, files: Files = REAL) -> None:
    """Make `path` a symbolic link to `target`, in one step and on disk. Raises DiskError."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        files.unlink(temporary)
        files.symlink(target, temporary)
        files.rename(temporary, path)
        files.sync(path.parent)
    except OSError as error:
        raise explained(f"cannot link {path}", error) from error


def make_folder(folder: Path, mode: int = 0o755, files: Files = REAL) -> None:
    """The folder is there and its name is on disk. Raises DiskError."""
    if folder.is_dir():
        return
    try:
        files.mkdir(folder, mode)
        files.sync(folder.parent)
    except OSError as error:
        raise explained(f"cannot make {folder}", error) from error


def remove(path: Path, files: Files = REAL) -> None:
    """The file or link is gone, on disk. Nothing there is fine. Raises DiskError."""
    try:
        files.unlink(path)
        if path.parent.is_dir():
            files.sync(path.parent)
    except OSError as error:
        raise explained(f"cannot remove {path}", error) from error


def remove_folder(folder: Path, files: Files = REAL) -> None:
    """The folder is gone, by one rename first, so that nobody ever sees half of it. Raises DiskError."""
    doomed = folder.with_name(f"{TEMPORARY}{folder.name}")
    try:
        if folder.is_dir():
            files.rmtree(doomed)
            files.rename(folder, doomed)
            files.sync(folder.parent)
        files.rmtree(doomed)
    except OSError as error:
        raise explained(f"cannot remove {folder}", error) from error


def sweep(folder: Path, files: Files = REAL, prefix: str = "") -> None:
    """Remove what earlier crashes left under temporary names of what begins with `prefix`. Failing to is no harm."""
    for path in folder.glob(f"{TEMPORARY}{prefix}*"):
        try:
            if path.is_dir() and not path.is_symlink():
                files.rmtree(path)
            else:
                files.unlink(path)
        except OSError:
            continue


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Be the only one who writes under `root`. Raises DiskError at once where another is.

    A disk that takes no write is no reason not to run: what is on it can be read, and its hub told.
    """
    path = root / "lock"
    try:
        file = path.open("rb" if path.exists() else "ab")
    except OSError as error:
        raise DiskError(error.errno, f"cannot open {path}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DiskError(error.errno, f"cannot use {root}: another skerry-agent works with it") from error
        yield


def explained(what: str, error: OSError) -> DiskError:
    """`what` did not work: with the reason, and what to do where that is known."""
    hints = {
        errno.ENOSPC: "make room on the disk; nothing was switched",
        errno.EDQUOT: "raise the quota; nothing was switched",
        errno.EROFS: "the file system is read-only: see 'dmesg', then remount it",
        errno.EACCES: "run it as root",
        errno.EPERM: "run it as root",
    }
    reason = os.strerror(error.errno) if error.errno else str(error)
    hint = hints.get(error.errno or 0)
    return DiskError(error.errno, f"{what}: {reason}" + (f" ({hint})" if hint else ""))
