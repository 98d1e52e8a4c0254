"""Does what a plan says, action by action, and says how it went. Makes no decisions.

Where an action that names an instance fails, the rest of that instance's are skipped, `Settle` too, and the others go
on; after any failure `Finish` is skipped. Where one fails that concerns all, nothing after it is done: without its
reload systemd would start an old text, and say that all is well. A start that fails is none of these: the instance is
what was asked for, and what becomes of it is for `health` to judge. Every action may be done again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from msgspec import Struct, structs

from skerry_protocol.ids import InstanceId

from ..disk.files import DiskError
from ..systemd import JobResult, Outcome, Systemd
from ..units.stoprules import unfit
from ..units.unitfiles import UnitFiles
from . import actions as do
from .observed import Closer, Observed
from .target import Running

JOB_SECONDS = 90.0  # beside a unit's own stop timeout: systemd's own default
RELOAD_SECONDS = 60.0
PATTERN = "skerry-*"
# Shipped beside the rendered ones; never an instance's.
OWN = frozenset(
    {
        "skerry-agent.service", "skerry-restore.service", "skerry-net.service", "skerry-fence.service",
        "skerry-spaces.service",
        "skerry-wireguard@.service", "skerry-wireguard@skerry.service", "skerry-wireguard@skerry-direct.service",
    }
)  # fmt: skip
VERBS = {do.StartUnit: "start", do.RestartUnit: "restart", do.StopUnit: "stop", do.CheckStop: "start"}


class Failure(Struct, frozen=True):
    """One action that did not work. `instance` is None where it concerned all; `disk`: it could not be written."""

    instance: InstanceId | None
    reason: str
    disk: bool = False


Recorded = do.Begin | do.Settle | do.Finish
Settled = Callable[[Recorded], None]


def on_disk(files: UnitFiles, expected: Iterable[Running]) -> Observed:
    """What can be seen without systemd: files, links, and the content of what is `expected`."""
    seen = files.seen(expected)
    texts = {name: text for name, text in seen.files.items() if name not in OWN}
    return Observed(files=texts, links=seen.links, trees=seen.trees, current=seen.current)


async def observe(systemd: Systemd, files: UnitFiles, closer: Closer) -> Observed | Outcome:
    """What of Skerry's is on disk and in systemd now; an Outcome where systemd does not answer."""
    units = await systemd.units([PATTERN], closer.units | closer.fenced)
    if isinstance(units, Outcome):
        return units
    ours = [unit for unit in units if unit.name not in OWN]
    not_loaded = closer.fenced - {unit.name for unit in ours}
    to_come = await systemd.show(sorted(not_loaded)) if not_loaded else ()
    if isinstance(to_come, Outcome):
        return to_come
    return structs.replace(
        on_disk(files, closer.instances),
        active=frozenset(unit.name for unit in ours if unit.up),
        loaded=frozenset(unit.name for unit in ours),
        stale=frozenset(unit.name for unit in ours if unit.stale),
        stop_ms={
            unit.name: _ms(unit.stop_timeout_us) for unit in (*ours, *to_come) if unit.name in closer.fenced
        },
    )


def _ms(microseconds: int | None) -> int:
    """None is without end: longer than any lease."""
    return 1 << 62 if microseconds is None else microseconds // 1000


class Executor:
    """Does plans, one at a time. `settled` is called at each Begin, Settle and Finish, to record it on disk."""

    def __init__(self, systemd: Systemd, files: UnitFiles, settled: Settled) -> None:
        self._systemd = systemd
        self._files = files
        self._settled = settled

    async def run(self, plan: Sequence[do.Action], stop_seconds: float) -> list[Failure]:
        """Everything in `plan`, in order. `stop_seconds`: the longest that a unit in it may take to stop."""
        failures: list[Failure] = []
        broken: set[InstanceId] = set()
        for action in plan:
            instance = None if isinstance(action, do.Reload | do.Finish) else action.instance
            if instance in broken or (broken and isinstance(action, do.Finish)):
                continue
            failure = await self._try(action, instance, stop_seconds + JOB_SECONDS)
            if failure is not None:
                failures.append(failure)
                if instance is None:
                    break
                if not isinstance(action, do.StartUnit | do.RestartUnit):
                    broken.add(instance)
        return failures

    async def _try(self, action: do.Action, instance: InstanceId | None, seconds: float) -> Failure | None:
        """None when it is done."""
        job = self._job(action, seconds)
        if job is None:
            try:
                self._on_disk(action)
            except DiskError as error:
                return Failure(instance, str(error), disk=True)
            return None
        outcome = await job
        return None if outcome.ok else Failure(instance, _why(action, outcome))

    def _job(self, action: do.Action, seconds: float) -> Awaitable[Outcome] | None:
        """What is asked of systemd; None for what happens on disk."""
        match action:
            case do.Reload():
                return self._systemd.reload(RELOAD_SECONDS)
            case do.StartUnit():
                started = self._systemd.start(action.unit, seconds, yields=action.lease is not None)
                return self._leased(action.lease, started)
            case do.RestartUnit():
                again = self._systemd.restart(action.unit, seconds, yields=action.lease is not None)
                return self._leased(action.lease, again)
            case do.StopUnit():
                return self._systemd.stop(action.unit, seconds)
            case do.CheckStop():
                return self._check_stop(action)
            case do.SetProperties():
                return self._systemd.set_properties(action.unit, action.properties, runtime=True)
        return None

    async def _leased(self, lease: str | None, job: Awaitable[Outcome]) -> Outcome:
        """A fenced unit that systemd refuses because its lease is over starts with the next lease: no failure."""
        outcome = await job
        refused = outcome.result in {JobResult.DEPENDENCY, JobResult.REFUSED, JobResult.INVALID}
        if lease is None or not refused:
            return outcome
        shown = await self._systemd.show([lease])
        is_open = not isinstance(shown, Outcome) and shown[0].up
        return outcome if is_open else Outcome(outcome.unit, JobResult.DONE)

    async def _check_stop(self, action: do.CheckStop) -> Outcome:
        rules = await self._systemd.stop_rules(action.unit)
        if isinstance(rules, Outcome):
            return rules
        leases = [name for name in rules.requisite if name.startswith("skerry-lease-")]
        reasons = unfit(rules, action.limit_ms, leases[0] if leases else "a lease")
        if not reasons:
            return Outcome(action.unit, JobResult.DONE)
        return Outcome(
            action.unit, JobResult.REFUSED, f"{'; '.join(reasons)} (systemctl revert {action.unit})"
        )

    def _on_disk(self, action: do.Action) -> None:
        files = self._files
        match action:
            case do.WriteTree():
                files.write_tree(action.instance, action.name, action.files, action.artifact)
            case do.SwitchTree():
                files.switch_tree(action.instance, action.name)
            case do.RemoveInstance():
                files.remove_instance(action.instance)
            case do.WriteUnit():
                files.write_unit(action.name, action.text)
            case do.RemoveUnit():
                files.remove_unit(action.name)
            case do.EnableUnit():
                files.enable(action.unit, action.target)
            case do.DisableUnit():
                files.disable(action.unit, action.target)
            case do.DropProperties():
                files.drop_properties(action.unit)
            case do.Settle():
                files.prune_trees(action.instance, ())
                self._settled(action)
            case do.Begin() | do.Finish():
                self._settled(action)


def _why(action: do.Action, outcome: Outcome) -> str:
    what = (
        "reload systemd"
        if isinstance(action, do.Reload)
        else f"{VERBS.get(type(action), 'change')} {outcome.unit}"
    )
    return f"cannot {what}: {outcome.reason or outcome.result.value}"
