"""Whether this machine can hold a lab; all that is missing, in one line. It only looks."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from . import cgroups
from .errors import LabError

_COMMANDS = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "systemctl": "systemd",
    "systemd-nspawn": "systemd-container",
}
_PACKAGES = _COMMANDS | {"dbus": "dbus", "wireguard-go": "wireguard-go"}
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
BUS = Path("/usr/bin/dbus-daemon")
_MB = 1 << 20
_MEMORY = 128 * _MB
_MEMORY_PER_NODE = 64 * _MB
_DISK = 256 * _MB
_INOTIFY_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_PER_NODE = 9  # systemd, its journal, its bus: six while it boots; agent, skerry-net, wireguard-go
_INOTIFY_TRIED = 400  # a process may not have many more open files


def check(nodes: int) -> None:
    """Raises one LabError that names everything."""
    lacks = list(missing(nodes))
    if not lacks:
        return
    packages = sorted({_PACKAGES[name] for name in lacks if name in _PACKAGES})
    hint = f" (apt-get install {' '.join(packages)})" if packages else ""
    raise LabError(f"cannot make a lab here: it lacks {', '.join(lacks)}{hint}")


def check_boot(nodes: int) -> None:
    """The same for nodes that are there and are to be switched on."""
    for lack in _watches(nodes):
        raise LabError(f"cannot boot: this machine lacks {lack}")


def missing(nodes: int) -> Iterator[str]:
    if os.geteuid() != 0:
        yield "root's rights"
    yield from (name for name in _COMMANDS if shutil.which(name, path=search_path()) is None)
    if not BUS.exists():
        yield "dbus"
    yield from (f"{name} namespaces" for name in _NAMESPACES if not Path("/proc/self/ns", name).exists())
    if not _has_overlay():
        yield "overlayfs in the kernel"
    tree = cgroups.on_host()
    if tree is None or not os.access(tree, os.W_OK):
        yield "a cgroup2 tree that is mounted and can be written to"
    if not Path("/dev/net/tun").exists():
        yield "/dev/net/tun"
    if not _has_wireguard():
        yield "wireguard-go"
    yield from _room(nodes)
    yield from _watches(nodes)


def search_path() -> str:
    """Not every root's PATH has the folders of the administrator's commands."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def _has_overlay() -> bool:
    """Built in or loaded, or a module that the first mount will load."""
    if "\toverlay\n" in Path("/proc/filesystems").read_text("ascii"):
        return True
    return any(Path("/lib/modules", os.uname().release, "kernel/fs/overlayfs").glob("overlay.ko*"))


def kernel_has_wireguard() -> bool:
    """Built in or loaded, or a module that the first tunnel will load."""
    modules = Path("/lib/modules", os.uname().release, "kernel/drivers/net/wireguard")
    return Path("/sys/module/wireguard").exists() or any(modules.glob("wireguard.ko*"))


def _has_wireguard() -> bool:
    return kernel_has_wireguard() or shutil.which("wireguard-go", path=search_path()) is not None


def _room(nodes: int) -> Iterator[str]:
    wanted, free = _MEMORY + nodes * _MEMORY_PER_NODE, _free_memory()
    if free < wanted:
        yield f"memory ({wanted // _MB} MB for {nodes} nodes, {free // _MB} MB are free)"
    disk = shutil.disk_usage("/var/lib").free
    if disk < _DISK:
        yield f"disk space in /var/lib ({_DISK // _MB} MB, {disk // _MB} MB are free)"


def _watches(nodes: int) -> Iterator[str]:
    """A node without them does not boot, and says nothing that leads there."""
    wanted = nodes * _INOTIFY_PER_NODE
    free = free_inotify(wanted)
    if free < min(wanted, _INOTIFY_TRIED):
        limit = _inotify_limit()
        yield (
            f"inotify instances ({wanted} for {nodes} nodes, {free} of {limit} are free:"
            f" sysctl fs.inotify.max_user_instances={limit + max(512, wanted)})"
        )


def free_inotify(wanted: int) -> int:
    """How many of so many could be had now; asked of the kernel, as other containers' are counted, but not seen."""
    libc = ctypes.CDLL(None, use_errno=True)
    with ExitStack() as opened:
        for count in range(min(wanted, _INOTIFY_TRIED)):
            found = libc.inotify_init1(os.O_CLOEXEC)
            if found < 0:
                return count
            opened.callback(os.close, found)
    return min(wanted, _INOTIFY_TRIED)


def _inotify_limit() -> int:
    try:
        return int(_INOTIFY_LIMIT.read_text("ascii"))
    except (OSError, ValueError):
        return 0


def _free_memory() -> int:
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
