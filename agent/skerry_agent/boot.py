"""What `skerry-agent restore` does. It runs at boot, beside the start of every unit, and mostly finds that nothing is
missing: to see that, it loads no more than it takes to read the record of what is applied and the files, neither an
event loop nor anything of a hub.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from .disk.files import STATE, DiskError, locked
from .disk.growing import APPLIED, Growing
from .switch.executor import on_disk
from .switch.putback import restore
from .switch.target import State
from .units.render import Paths
from .units.unitfiles import UnitFiles

NICE = 10  # as in skerry-restore.service


def put_back(state: Path = STATE) -> int:
    """Put back what is missing of the applied state. An exit code."""
    give_way()
    if not state.is_dir():
        return 0
    try:
        with locked(state):
            if is_whole(state, Paths(instances=f"{state}/instances", artifacts=f"{state}/artifacts")):
                return 0
    except DiskError as error:
        print(f"skerry-agent: {error}", file=sys.stderr)
        return 1
    from .restoring import put_back as thoroughly  # noqa: PLC0415 - see the module

    return thoroughly(state)


def give_way() -> None:
    """To the instances, which start at the same time and need nothing of this.

    The kernel weighs sessions before it weighs what runs in one (sched(7), "autogroup"), and each unit is a session: so
    the `Nice=` of a unit counts for nothing by itself. Without such a kernel there is nothing to write to.
    """
    if os.getsid(0) != os.getpid():
        return  # an admin runs it, whose session is not to give way
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICE), encoding="ascii")


def is_whole(state: Path, paths: Paths) -> bool:
    """Whether everything that was switched to is surely there, on disk."""
    applied = Growing(state / APPLIED, State).read()
    if applied is None:
        return True
    return isinstance(applied, State) and not restore(
        applied, on_disk(UnitFiles(paths), applied.instances.values())
    )
