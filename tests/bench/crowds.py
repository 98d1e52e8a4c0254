"""A hub with thousands of simulated agents over real connections: at rest, one change to all, killed and started.

Beside a nats-server alone with as many idle connections, plain and with TLS; Skerry's own is never plain. The agents
share the machine's processors with what is measured, so what they use is said beside each moment.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from skerry_hub.api.views import ApplyAsk, ApplyView
from skerry_protocol.app import App, Availability
from skerry_protocol.ids import AppName

from .figures import Effort
from .fleet import members
from .fleet.hubproc import HubProcess, Swarms, nats_alone, running, until, use
from .fleet.joins import join_times
from .fleet.simnode import Server
from .fleet.swarm import Said
from .measures import Basis, Goal, Row, median, percentile

LONG_S = 600.0
QUIET_S = 3.0
QUIET_CPU = 0.15  # of a core, over QUIET_S: nothing of a change is left to do
JOINS = 8


class Spent(Struct, frozen=True):
    """CPU seconds of each side."""

    hub: float
    nats: float
    agents: float

    def __sub__(self, before: Spent) -> Spent:
        return Spent(self.hub - before.hub, self.nats - before.nats, self.agents - before.agents)

    @property
    def words(self) -> str:
        return f"CPU: hub {self.hub:.1f} s, nats {self.nats:.1f} s, the agents' own {self.agents:.1f} s"


def measure(effort: Effort) -> Iterator[Row]:
    for many in (500,) if effort.quick else (2_000, 9_500):
        with tempfile.TemporaryDirectory(prefix="skerry-bench-") as folder:
            there = asyncio.run(members.made(Path(folder) / "hub", many))
            with running(there) as hub, Swarms(Path(folder), hub.server, there.logins) as swarms:
                yield from _Crowd(hub, swarms, many, effort).rows()
            yield from _alone(Path(folder), there, many, effort)


class _Crowd:
    """One hub and its agents, through a day's events."""

    def __init__(self, hub: HubProcess, swarms: Swarms, many: int, effort: Effort) -> None:
        self._hub = hub
        self._swarms = swarms
        self._many = many
        self._effort = effort
        self._revision = 0

    def rows(self) -> Iterator[Row]:
        said = self._begun()
        yield self._row("all connected and answered", said)
        times = join_times(self._hub, JOINS)
        note = f"median of {JOINS} over HTTPS, one after the other; the others were put into the store"
        yield Row(f"{self._many} nodes: one more joins", median(times) * 1000, "ms", note=note)
        yield self._changed("first placed on all", None)
        yield from self._rest()
        turns = [self._changed("one change to all", Goal(3)) for _ in range(self._effort.count(3, 2))]
        yield sorted(turns, key=lambda row: row.ours)[len(turns) // 2]
        yield from self._killed()
        yield self._memory()

    def _begun(self) -> Said:
        self._swarms.tell("mark")
        began = time.monotonic()
        self._swarms.tell("start", over=self._many / 500)
        said = self._all("agreed")
        return _since(said, began)

    def _all(self, what: str, term: int = 0) -> Said:
        said = self._swarms.tell(what, seconds=LONG_S, term=term)
        if said.waiting:
            raise TimeoutError(f"{said.waiting} agents had not {what} after {LONG_S:.0f} s: {said.trouble}")
        return said

    def _row(self, what: str, said: Said, goal: Goal | None = None, note: str = "") -> Row:
        half = f"half after {median(said.moments):.2f} s, 99 % after {percentile(said.moments, 99):.2f} s"
        return Row(
            f"{self._many} nodes: {what}",
            said.moments[-1],
            "s",
            goal=goal,
            note="; ".join(filter(None, (half, note))),
        )

    def _changed(self, what: str, goal: Goal | None) -> Row:
        """From the apply's arrival until the last agent has the assignment."""
        self._quiet()
        self._swarms.tell("mark")
        before, began = self._spent(), time.monotonic()
        self._apply()
        answered = time.monotonic() - began
        said = _since(self._all("took"), began)
        spent = self._spent() - before
        agreed = _since(self._all("agreed"), began)
        known = f"the API answered after {answered:.2f} s; known to the hub after {agreed.moments[-1]:.1f} s"
        return self._row(what, said, goal, f"{known}; {spent.words}")

    def _apply(self) -> None:
        self._revision += 1
        app = App(
            AppName("everywhere"), ("sleep", "inf"), Availability.BEST_EFFORT, per_node=True,
            env={"VALUE": str(self._revision)},
        )  # fmt: skip
        self._hub.client.send(ApplyView, "POST", "/api/apply", ApplyAsk((app,), confirm=True))

    def _spent(self) -> Spent:
        said = self._swarms.tell("look")
        return Spent(use(self._hub.pid).cpu_s, use(self._hub.nats_pid).cpu_s, said.cpu_s)

    def _quiet(self) -> None:
        """Until the hub has done all that came of the last change."""

        def still() -> bool:
            before = use(self._hub.pid).cpu_s
            time.sleep(QUIET_S)
            return use(self._hub.pid).cpu_s - before < QUIET_CPU * QUIET_S

        until("the hub is at rest", still, LONG_S)

    def _rest(self) -> Iterator[Row]:
        self._swarms.tell("spread")
        self._quiet()
        seconds = self._effort.pick(120, 20)
        before, beats = self._spent(), self._swarms.tell("look").beats
        time.sleep(seconds)
        spent, said = self._spent() - before, self._swarms.tell("look")
        rate = f"over {seconds:.0f} s with {(said.beats - beats) / seconds:.1f} beats a second"
        yield Row(
            f"{self._many} nodes at rest: CPU of the hub", spent.hub / seconds * 100, "% of a core", note=rate
        )
        yield Row(
            f"{self._many} nodes at rest: CPU of nats-server", spent.nats / seconds * 100, "% of a core"
        )
        nats = use(self._hub.nats_pid)
        yield Row(
            f"{self._many} nodes at rest: memory of nats-server",
            nats.resident,
            "MiB",
            note=f"peak {nats.peak:.0f}",
        )

    def _killed(self) -> Iterator[Row]:
        """From the kill until every agent has an answer of the new hub that names what it holds."""
        self._quiet()
        self._swarms.tell("mark")
        term = int(str(self._hub.get("/api/status")["term"]))
        before, began = self._swarms.tell("look"), time.monotonic()
        self._hub.kill()
        self._hub.start()
        said = _since(self._all("agreed", term + 1), began)
        after = self._swarms.tell("look")
        spent = Spent(use(self._hub.pid).cpu_s, use(self._hub.nats_pid).cpu_s, after.cpu_s - before.cpu_s)
        trouble = ", ".join(f"{text}: {times}" for text, times in after.trouble.items()) or "nothing"
        until("the API is back", self._hub.answers, LONG_S)
        silent = self._hub.get("/api/status")["silent"]
        lost = f"{after.losses - before.losses} connections were lost, none for good; nodes taken for silent: {silent}"
        note = f"{lost}; last troubles: {trouble}; {spent.words}"
        yield self._row("hub killed, until all agree", said, Goal(15), note)
        cores = os.cpu_count() or 1
        share = f"what hub and nats-server used, over {cores} processors, had the agents their own"
        yield Row(
            f"{self._many} nodes: the same by CPU alone", (spent.hub + spent.nats) / cores, "s", goal=Goal(15),
            note=share, basis=Basis.COMPUTED,
        )  # fmt: skip

    def _memory(self) -> Row:
        now = use(self._hub.pid)
        note = f"{now.resident:.0f} MiB now; since it was started anew"
        return Row(f"{self._many} nodes: most memory of the hub", now.peak, "MiB", goal=Goal(300), note=note)


def _since(said: Said, began: float) -> Said:
    """Its moments as seconds since then."""
    return Said(said.cpu_s, said.resident_mb, said.up, moments=tuple(at - began for at in said.moments))


def _alone(folder: Path, there: members.Members, many: int, effort: Effort) -> Iterator[Row]:
    """What so many connections cost a nats-server that has nothing else to do."""
    seconds = effort.pick(120, 20)
    for what, tls in (("plain", None), ("TLS", (there.identity.certificate, there.identity.tls_key))):
        with nats_alone(folder, tls) as (pid, server), _idle(folder, server, there) as swarms:
            swarms.tell("connect")
            before = use(pid)
            time.sleep(seconds)
            after = use(pid)
        cpu = (after.cpu_s - before.cpu_s) / seconds * 100
        yield Row(f"{many} idle connections, nats-server alone, {what}: CPU", cpu, "% of a core")
        yield Row(f"{many} idle connections, nats-server alone, {what}: memory", after.resident, "MiB")


def _idle(folder: Path, server: Server, there: members.Members) -> Swarms:
    return Swarms(folder, server, there.logins, agents=False)
