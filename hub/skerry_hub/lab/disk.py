"""A node's disk: an overlay over the host's root, with what makes it a machine of its own.

The host's root is only read. Hidden from the node: the host's own units and services, Skerry's state, and the lab's.
Must never write to a path outside of the node's own folder.
"""

from __future__ import annotations

import os
import stat
import uuid
from pathlib import Path

from . import commands, layout, linux
from .layout import Host

TARGET = "skerry-lab.target"
_TARGET_TEXT = """[Unit]
Description=A node of a Skerry lab
Requires=multi-user.target
Wants=dbus.socket
After=multi-user.target
AllowIsolate=yes
"""
_JOURNAL_TEXT = "[Journal]\nStorage=persistent\nSystemMaxUse=64M\nRuntimeMaxUse=16M\n"

_EMPTY = (
    "etc/skerry",
    "etc/systemd/system",
    "etc/systemd/system.control",
    "etc/systemd/network",
    "var/cache/private",
    "var/lib/private",
    "var/lib/skerry",
    "var/lib/systemd",
    "var/log",
)
_HIDDEN = ("var/lib/skerry-lab", "var/spool/cron")
# Each costs time at boot and has nothing to do in a node.
_MASKED = (
    "console-getty.service",
    "dev-hugepages.mount",
    "sys-fs-fuse-connections.mount",
    "systemd-logind.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
)
_GENERATORS = ("usr/lib/systemd/system-generators", "usr/local/lib/systemd/system-generators")


class Disk:
    """One node's disk; mounted from `make` until the lab's mount namespace goes."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.host = host
        self.root = layout.root(host)
        self.upper = folder / "upper"
        self._work = folder / "work"

    def make(self, copy_of: Disk | None = None) -> None:
        """A fresh machine, or one cloned, identity and all, from a disk that is not in use."""
        for folder in (self.root, self._work):
            folder.mkdir(parents=True)
        if copy_of:
            commands.copy_tree(copy_of.upper, self.upper)
        else:
            self.upper.mkdir(mode=0o755)
            self._hide()
        linux.mount(
            "overlay", self.root, "overlay", 0, f"lowerdir=/,upperdir={self.upper},workdir={self._work}"
        )
        if not copy_of:
            self._settle()

    def _hide(self) -> None:
        for path in _EMPTY:
            folder = self.upper / path
            folder.mkdir(parents=True, mode=0o755)
            os.setxattr(folder, "trusted.overlay.opaque", b"y")
        for path in _HIDDEN:
            (self.upper / path).parent.mkdir(parents=True, exist_ok=True)
            os.mknod(self.upper / path, stat.S_IFCHR, os.makedev(0, 0))

    def _settle(self) -> None:
        self.write("etc/hostname", f"{self.host}\n")
        self.write("etc/machine-id", f"{uuid.uuid4().hex}\n")
        self.write("etc/fstab", "")
        self.write("etc/resolv.conf", "")
        self.write(f"etc/systemd/system/{TARGET}", _TARGET_TEXT)
        self.write("etc/systemd/journald.conf.d/skerry-lab.conf", _JOURNAL_TEXT)
        (self.root / "var/log/journal").mkdir()
        for name in _MASKED:
            self._mask(Path("etc/systemd/system", name))
        for folder in _GENERATORS:
            for path in sorted((self.root / folder).glob("*")):
                self._mask(Path("etc/systemd/system-generators", path.name))

    def write(self, path: str, text: str) -> bool:
        """Replaces a file, also where a link was; says whether that changed anything."""
        file = self.root / path
        if not file.is_symlink() and file.is_file() and file.read_text("utf-8") == text:
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(text, "utf-8")
        return True

    def _mask(self, path: Path) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.symlink_to("/dev/null")

    def install_units(self, folder: Path, bindir: Path) -> None:
        """As a package would: into /usr/lib/systemd/system, enabled where a unit says how."""
        new = []
        for path in sorted(folder.iterdir()):
            text = path.read_text("utf-8").replace("@BINDIR@", str(bindir))
            if self.write(f"usr/lib/systemd/system/{path.name}", text) and "\n[Install]\n" in text:
                new.append(path.name)
        if new:
            commands.enable_units(self.root, new)
