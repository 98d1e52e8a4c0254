"""Command lines that run something inside of a lab, from the host: in a node, or where the hub is.

They die with their caller: a shell is the parent of what runs, and setpriv has the kernel kill that with it. It is not
nsenter itself that forks, because nsenter stops when its child is stopped, and systemd's shutdown stops every process:
the dead child would then never be waited for, and its PID namespace, the whole machine, would never end.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import cgroups, internet, leftovers
from .errors import LabError
from .layout import HUB, Host, Paths

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TIED = ("sh", "-c", '"$@"; exit $?', "sh", "setpriv", "--pdeathsig", "KILL", "--")


def node_pid(paths: Paths, node: Host) -> int:
    """The node's systemd, as the host numbers it."""
    return _init(paths, f"{node}/payload/init.scope", f"{node} is off, or no node of this lab")


def keeper_pid(paths: Paths) -> int:
    return _init(paths, "keeper", "it is not up")


def _init(paths: Paths, folder: str, reason: str) -> int:
    root = leftovers.cgroup(paths)
    found = cgroups.init(root / folder) if root else None
    if found is None:
        raise LabError(f"cannot enter the lab '{paths.name}': {reason} (see '{paths.command} status')")
    return found


def in_node(paths: Paths, node: Host, argv: Sequence[str], env: Mapping[str, str], bindir: str) -> list[str]:
    """As root, in all of the node's namespaces, with a fresh environment; begins in /."""
    fresh = {"HOME": "/root", "LANG": "C.UTF-8", "PATH": f"{bindir}:{_SYSTEM_PATH}", "USER": "root"}
    words = [f"{key}={value}" for key, value in (fresh | dict(env)).items()]
    enter = ["nsenter", "--target", str(node_pid(paths, node)), "--all", "--no-fork", "--"]
    return [*enter, *_TIED, "env", "-i", *words, *argv]


def beside_hub(paths: Paths, argv: Sequence[str]) -> list[str]:
    """In the hub's network, with the caller's environment and working folder."""
    keeper = ["nsenter", "--target", str(keeper_pid(paths)), "--mount", "--pid", "--uts", "--no-fork", "--"]
    return [
        *keeper,
        "nsenter",
        f"--net={internet.namespace(HUB)}",
        "--",
        *_TIED,
        "env",
        "-C",
        str(Path.cwd()),
        *argv,
    ]


def in_keeper(paths: Paths, path: Path) -> Path:
    """What is at a path of the keeper's mount namespace, as a path of the host."""
    return Path(f"/proc/{keeper_pid(paths)}/root{path}")


def terminal() -> Mapping[str, str]:
    return {"TERM": os.environ.get("TERM", "dumb")}
