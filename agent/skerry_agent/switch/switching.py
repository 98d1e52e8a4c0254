"""The loop that takes the units to what the node accepted, and tells what came of it.

Owns when a switch is tried, and the steps of the way up to `started`. Runs one switch at a time; whatever asks for one
while it runs gets another after it. Must never decide what to do to a unit: `node.switch` does what the plan says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from skerry_protocol.ids import InstanceId
from skerry_protocol.messages import Instance, StepName, StepState

from ..artifacts.downloads import Downloads
from ..disk.disk import DiskError
from ..health import health
from ..health.health import Life
from ..health.lives import Lives
from ..reports.reporter import Reporter
from ..systemd import Outcome
from .node import Node, Switched
from .revisions import way_back
from .target import Running

log = logging.getLogger(__name__)

RETRY_LEAST_S = 2.0
RETRY_MOST_S = 60.0
DONE_BEFORE_START = (
    StepName.RECEIVED,
    StepName.VERIFIED,
    StepName.FETCHED,
    StepName.NETWORK,
    StepName.STORAGE,
)


class Switching:
    """See the module. `after` is called when what is applied may have changed."""

    def __init__(
        self,
        node: Node,
        lives: Lives,
        downloads: Downloads,
        reporter: Reporter,
        after: Callable[[], Awaitable[None]],
    ) -> None:
        self._node = node
        self._lives = lives
        self._downloads = downloads
        self._reporter = reporter
        self._after = after
        self._due = asyncio.Event()
        self._failed: dict[InstanceId | None, str] = {}
        self._stuck: dict[InstanceId, tuple[StepState, str]] = {}

    def due(self) -> None:
        """Something changed: look again."""
        self._due.set()

    async def run(self) -> None:
        """Switches when due, until cancelled; what failed is tried again with growing pauses."""
        pause = RETRY_LEAST_S
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                done = await self.once()
            except Exception:
                self._due.set()  # whoever begins this loop again goes on here
                raise
            if done:
                pause = RETRY_LEAST_S
            else:
                asyncio.get_running_loop().call_later(pause, self._due.set)
                pause = min(2 * pause, RETRY_MOST_S)

    async def once(self) -> bool:
        """One switch. Whether nothing is left to try. What skerry-net says wakes this too, but is not relied upon."""
        result = await self._node.switch()
        if isinstance(result, Outcome):
            self._node.conditions["systemd"] = f"systemd does not answer: {result.reason or result.result}"
            return False
        self._node.conditions.pop("systemd", None)
        self._downloads.want(result.plan.fetches)
        self._say(result)
        self._follow(result)
        await self._after()
        self._clear_away()
        waits = any(one.step is StepName.NETWORK for one in result.plan.waiting)
        return result.told and not result.failures and not waits

    def _follow(self, result: Switched) -> None:
        """The lives of what runs: new where it changed, first seen where the agent is new, over where it is gone."""
        known = self._lives.known()
        for name in known - set(self._node.applied.instances):
            self._lives.end(name)
        for name, running in self._node.applied.instances.items():
            if name in result.changed or name not in known:
                # What runs by an override is what was gone back to: there is nowhere further.
                back = way_back(self._node.revisions, name, running.entry.revision)
                on_trial = back is not None and _as_assigned(running)
                self._lives.begin(running, on_trial, changed=on_trial or name in result.changed)

    def _say(self, result: Switched) -> None:
        if self._node.assignment is None:
            return
        self._reporter.keep_only(instance.id for instance in self._node.assignment.instances)
        waiting = {one.instance: one for one in result.plan.waiting}
        failed = {one.instance: one.reason for one in result.failures}
        held = [one for one in result.plan.waiting if one.step is StepName.STARTED]
        self._stuck = {one.instance: (one.state, one.reason) for one in held}
        self._stuck |= {
            name: (StepState.FAILED, reason) for name, reason in failed.items() if name is not None
        }
        for instance in self._node.assignment.instances:
            if (stuck := waiting.get(instance.id)) is not None:
                self._reach(instance, stuck.step, stuck.state, stuck.reason)
            elif instance.id in failed:
                self._reach(instance, StepName.STARTED, StepState.FAILED, failed[instance.id])
            else:
                self._reach(instance, StepName.STARTED, None, "")
        self._tell_failures(failed)
        for unit in result.plan.gone:
            self._reporter.event("unit-file", f"{unit} was gone, and was put back; what ran went on")

    def _tell_failures(self, failed: dict[InstanceId | None, str]) -> None:
        for name, reason in failed.items():
            if self._failed.get(name) != reason:
                self._reporter.event("switch-failed", reason, instance=name)
        self._failed = failed
        if None in failed:
            self._node.conditions["switch"] = failed[None]
        else:
            self._node.conditions.pop("switch", None)

    def _reach(self, instance: Instance, at: StepName, state: StepState | None, reason: str) -> None:
        """Everything before `at` is done; `at` itself is in `state`, None: somebody else says."""
        for name in DONE_BEFORE_START:
            if name is at:
                break
            self.step(instance, name, StepState.DONE)
        if state is not None:
            self.step(instance, at, state, reason)

    def step(self, instance: Instance, name: StepName, state: StepState, reason: str = "") -> None:
        """Report one step of an instance under the accepted assignment."""
        if self._node.accepted is not None:
            self._reporter.step(instance, instance.revision, self._node.accepted.version, name, state, reason)

    def fetched(self, sha256: str, reason: str) -> None:
        """A download ended well (no reason), or an attempt did not."""
        if not reason:
            self.due()
            return
        target = self._node.target()
        for one in target.instances.values() if target else ():
            if one.rendered.artifact == sha256:
                self.step(one.instance, StepName.FETCHED, StepState.FAILED, reason)

    def lived(self, running: Running, life: Life) -> None:
        """An instance's health: the last two steps."""
        if not _as_assigned(running):
            return self._held_back(running, life)
        up = life.active_since_ms is not None
        if life.state is health.State.HEALTHY:
            self._passed(running)
            self.step(running.instance, StepName.STARTED, StepState.DONE)
            self.step(running.instance, StepName.HEALTHY, StepState.DONE)
            return None
        if up:
            self.step(running.instance, StepName.STARTED, StepState.DONE)
        elif (stuck := self._stuck.get(running.instance.id)) is not None:
            self.step(
                running.instance, StepName.STARTED, *stuck
            )  # why it may not start says more than that it is down
        elif running.rendered.lease is not None and not life.reason:
            self.step(
                running.instance, StepName.STARTED, StepState.WAITING, "it waits for a lease from its hub"
            )
        else:
            state = StepState.FAILED if life.reason else StepState.RUNNING
            self.step(running.instance, StepName.STARTED, state, life.reason)
        failing = life.state is health.State.FAILING
        self.step(
            running.instance,
            StepName.HEALTHY,
            StepState.FAILED if failing else StepState.RUNNING,
            life.reason,
        )
        return None

    def _passed(self, running: Running) -> None:
        try:
            self._node.healthy(running.instance.id, running.entry.revision)
        except DiskError as error:
            log.warning(
                "%s", error
            )  # a change that was healthy is then on trial again after a restart, no more

    def _held_back(self, running: Running, life: Life) -> None:
        """An override: what runs is healthy or not, but it is not what was asked for."""
        word = next((one for one in self._node.overrides if one.instance == running.instance.id), None)
        reason = f"revision {running.entry.revision} runs instead"
        if word is not None:
            reason = f"{reason}, by {word.by}: {word.reason}"
        if life.active_since_ms is None:
            reason = f"{reason}; it is not up: {life.reason or 'starting'}"
        # Both: what the refused revision did before must not be what `why` shows first.
        self.step(running.instance, StepName.STARTED, StepState.HELD, reason)
        self.step(running.instance, StepName.HEALTHY, StepState.HELD, reason)

    def _clear_away(self) -> None:
        try:
            self._node.collect()
        except OSError as error:
            log.info("%s", error)


def _as_assigned(running: Running) -> bool:
    """Whether what runs is what was asked for, and not what an override put in its place."""
    return running.instance.revision == running.entry.revision
