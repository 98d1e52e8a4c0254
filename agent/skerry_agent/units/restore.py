"""Boot without a hub: put back what is missing of what this node was switched to, beside skerry.target, not before it.

Never stops, deletes or takes anything older: a record that cannot be verified leaves the units on disk as they are. Run
as `skerry-agent restore` by skerry-restore.service.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import Struct

from skerry_protocol.ids import InstanceId

from ..disk.disk import Damaged, StateDir
from ..switch.actions import Action
from ..switch.executor import PATTERN, Executor, Failure, on_disk
from ..switch.putback import restore as what_is_missing
from ..switch.target import State
from ..systemd import Outcome, Systemd
from .render import Paths
from .unitfiles import UnitFiles

START_SECONDS = 30.0
RELOAD_SECONDS = 60.0


class Restored(Struct, frozen=True):
    """What was put back (as many actions), what was started then, and what went wrong, for people."""

    put_back: int = 0
    started: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


async def restore(state_dir: StateDir, systemd: Systemd, paths: Paths) -> Restored:
    """Do it. The caller holds the state folder's lock."""
    state = state_dir.applied()
    if isinstance(state, Damaged):
        return Restored(problems=(f"{state.text}; the units on disk stay as they are",))
    if state is None:
        return Restored()
    files = UnitFiles(paths)
    actions = what_is_missing(state, on_disk(files, state.instances.values()))
    if not actions:
        return (
            Restored()
        )  # systemd was not asked: it has a boot to do, and the bus would have to be started for it
    units = await systemd.units([PATTERN])
    if isinstance(units, Outcome):
        return Restored(problems=(f"cannot ask systemd: {units.reason}",))
    active = {unit.name for unit in units if unit.up}
    return await _put_back(actions, state, active, systemd, files)


async def _put_back(
    actions: tuple[Action, ...], state: State, active: set[str], systemd: Systemd, files: UnitFiles
) -> Restored:
    failures = await Executor(systemd, files, lambda _: None).run(actions, 0)
    reloaded = await systemd.reload(RELOAD_SECONDS)
    problems = [_text(failure) for failure in failures]
    problems += [] if reloaded.ok else [f"cannot reload systemd: {reloaded.reason}"]
    broken = {failure.instance for failure in failures}
    touched = {instance for action in actions if (instance := getattr(action, "instance", None)) is not None}
    started: list[str] = []
    for unit in missing_starts(state, active, touched - broken):
        outcome = await systemd.start(unit, START_SECONDS)
        (started if outcome.ok else problems).append(unit if outcome.ok else _refused(outcome))
    return Restored(len(actions) - len(failures), tuple(started), tuple(problems))


def missing_starts(state: State, active: Collection[str], touched: Iterable[InstanceId]) -> list[str]:
    """What boot could not start because it was not all there. Nothing that needs a lease: its target starts that."""
    ones = [state.instances[name] for name in sorted(touched)]
    return [
        one.rendered.starts
        for one in ones
        if one.rendered.lease is None and one.rendered.starts not in active
    ]


def _text(failure: Failure) -> str:
    return f"{failure.instance}: {failure.reason}" if failure.instance else failure.reason


def _refused(outcome: Outcome) -> str:
    return f"cannot start {outcome.unit}: {outcome.reason or outcome.result.value}"
