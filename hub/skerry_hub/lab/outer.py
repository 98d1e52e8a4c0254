"""The lab's first processes, from the outside in.

outer   in the host's namespaces: waits for init, then removes what the kernel does not (see leftovers)
init    PID 1 of the lab's own PID, mount, network, cgroup, IPC and UTS namespaces: makes them, forks the keeper, reaps;
        ends when the keeper ends, and the kernel kills it when outer ends
keeper  answers requests (see keeper)

Whichever of them dies, the kernel ends all that the lab started. All three hold the lab's lock. Started as
`python -m skerry_hub.lab.outer LOCK READY TIED CONFIG`: three open files by number (TIED may be -1), and the config as
JSON. READY gets one word, ok, when the lab is there, else why not. The lab also ends when TIED is closed by all
that hold its other end.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

import msgspec

from . import cgroups, keeper, leftovers, linux, pidfile, preflight
from .layout import CGROUP, Config, Paths

_NAMESPACES = (
    linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWCGROUP | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
)


def main(argv: list[str]) -> int:
    lock, ready, tied = (int(number) for number in argv[:3])
    config = msgspec.json.decode(argv[3], type=Config)
    paths = Paths(config.name)
    os.environ["PATH"] = preflight.search_path()
    _leave_caller()
    pidfile.write(paths.outer)
    linux.unshare(linux.CLONE_NEWPID)  # for the children alone
    init = os.fork()
    if init == 0:
        linux.die_with_parent()
        with suppress(OSError):
            os.close(tied)
        os._exit(_init(config, ready))
    os.close(ready)
    _wait(init, tied)
    leftovers.remove(paths)
    os.close(lock)
    return 0


def _leave_caller() -> None:
    """Goes on as a child of nobody that is in a session of its own, so that nobody has to wait for it."""
    if os.fork() != 0:
        os._exit(0)
    os.setsid()


def _wait(init: int, tied: int) -> None:
    """Until init is dead: by itself, by a signal to outer, or because nobody holds the tie."""

    def end(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        with suppress(ProcessLookupError):
            os.kill(init, signal.SIGKILL)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    pidfd = os.pidfd_open(init)
    watched = [pidfd] if tied < 0 else [pidfd, tied]
    while pidfd not in (readable := select.select(watched, [], [])[0]):
        if tied in readable:
            watched.remove(tied)
            end(signal.SIGTERM, None)
    os.waitpid(init, 0)


def _init(config: Config, ready: int) -> int:
    """PID 1 of the lab."""

    def tell(text: str) -> None:
        os.write(ready, text.encode())
        os.close(ready)

    try:
        _make_namespaces(config)
    except OSError as error:
        tell(f"cannot make the lab's namespaces: {error}")
        return 1
    child = os.fork()
    if child == 0:
        _in_keeper(config, tell)
    os.close(ready)
    while os.wait()[0] != child:
        pass
    return 0


def _in_keeper(config: Config, tell: keeper.Ready) -> None:
    try:
        keeper.run(config, tell)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def _make_namespaces(config: Config) -> None:
    """The lab's own cgroup becomes the root of what it sees; nothing it mounts reaches the host."""
    paths = Paths(config.name)
    root = cgroups.on_host()
    assert root is not None, "preflight looks for it"
    folder = root / CGROUP / config.name
    leftovers.make_folder(folder)
    cgroups.delegate(folder.parent)
    cgroups.join(folder)
    linux.unshare(_NAMESPACES)
    linux.mount("none", Path("/"), "", linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("proc", Path("/proc"), "proc", linux.MS_NOSUID | linux.MS_NODEV)
    linux.mount("sysfs", Path("/sys"), "sysfs", linux.MS_NOSUID | linux.MS_NODEV)
    linux.mount("cgroup2", cgroups.INSIDE, "cgroup2", linux.MS_NOSUID | linux.MS_NODEV)
    _own_cgroup()
    _own_run(paths)


def _own_cgroup() -> None:
    """Controllers can only be handed down from a folder without processes."""
    (cgroups.INSIDE / "keeper").mkdir()
    cgroups.join(cgroups.INSIDE / "keeper")
    cgroups.delegate(cgroups.INSIDE)


def _own_run(paths: Paths) -> None:
    """An empty /run, where only the lab's own folder is the host's; and our names instead of the host's."""
    shared = os.open(paths.run, os.O_PATH | os.O_DIRECTORY)
    linux.mount("tmpfs", Path("/run"), "tmpfs", linux.MS_NOSUID, "mode=755,size=75%")
    paths.run.mkdir(parents=True)
    linux.mount(f"/proc/self/fd/{shared}", paths.run, "", linux.MS_BIND)
    os.close(shared)
    Path("/run/hosts").touch()
    Path("/run/resolv.conf").touch()
    for name in ("hosts", "resolv.conf"):
        if Path("/etc", name).exists():
            linux.mount(f"/run/{name}", Path("/etc", name), "", linux.MS_BIND)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
