"""The agent's end of what it and skerry-net tell each other (`records`): what is wanted, and when the hub answered.

Owns the files `wanted`, `reached` and (`hinted`) `hint`, and reads what skerry-net says. Order that matters: the way in
use is read before a beat is sent, because the answer proves that way and no later one. Must never wait for skerry-net,
nor need it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from skerry_protocol.ids import NodeName
from skerry_protocol.messages import Assignment, BeatReply, Issued
from skerry_protocol.network import Network

from ..disk import sealed
from ..disk.files import REAL, DiskError, Files, make_folder
from ..disk.sealed import Twice
from ..switch.target import State, Target
from . import wanted
from .confirm import Standing
from .hinted import Beside, Hinted, Ways
from .records import KEPT, REACHED, STATUS, WANTED, Kept, Plan, Reached, Status


class Telling:
    """See the module. `state`, `run`: the agent's folders."""

    def __init__(self, state: Path, run: Path, files: Files = REAL) -> None:
        self._state, self._run, self._files = state, run, files
        self._sent: tuple[str, int] = "", 0
        self._way: tuple[Issued | None, Network] | None = None
        self._hinted = Hinted(state, files)

    def status(self) -> Status | None:
        """What skerry-net said last, in this boot; None: nothing, or nothing that can be read."""
        found = sealed.message(Status, sealed.read(self._run / STATUS), STATUS)
        return found if isinstance(found, Status) else None

    def standing(self) -> Standing:
        """What became of the node's ways to its hub, as skerry-net keeps it."""
        found = sealed.read_twice(self._state / KEPT)
        kept = sealed.message(Kept, found.data, KEPT) if isinstance(found, Twice) else None
        return kept.standing if isinstance(kept, Kept) else Standing()

    def plan(self) -> Plan | None:
        """What is wanted, as it was told last."""
        return told(self._state)

    def joined(self, network: Network, name: NodeName, accepted: Issued | None) -> str | None:
        """A hub let this node in, and gave it this way: the newest there is until another assignment is accepted.

        Why it could not be written, if so.
        """
        self._way = accepted, network
        return self._write(wanted.first(network, name, self.plan()))

    def tell(
        self,
        assignment: Assignment,
        accepted: Issued | None,
        target: Target,
        applied: State,
        strange: Iterable[str],
    ) -> str | None:
        """What is wanted now. Why it could not be written; None: it is, or there is nothing to tell."""
        if (network := assignment.network) is None:
            return None
        if self._way is not None and self._way[0] == accepted:
            network = wanted.along(self._way[1], network)
        return self._write(wanted.wanted(network, target, applied, strange))

    def trouble(self, assignment: Assignment | None) -> str:
        """What is wrong with the node's network, in words; empty where nothing is."""
        return wanted.ails(self.status()) if assignment is not None and assignment.network is not None else ""

    # Beats

    def connected(self) -> None:
        """There is a new connection to a hub."""
        self._hinted.connected()

    def sending(self, at_ms: int) -> Beside:
        """A beat is sent now, by CLOCK_BOOTTIME. What it says of the network."""
        status = self.status()
        self._sent = status.way if status else "", at_ms
        return self._hinted.sending(_ways(status))

    def ways_changed(self) -> bool:
        """Whether there is something of this node's ways that no beat has said yet."""
        return self._hinted.is_new(_ways(self.status()))

    def heard(self, boot: str, at_ms: int) -> None:
        """The hub sent an assignment by the way in use. That confirms no way, but shows what a newer one may cost."""
        status = self.status()
        if status is not None and not status.trial:
            self._reached(status.way, boot, at_ms)

    def answered(self, boot: str, reply: BeatReply) -> None:
        """The hub answered it. Where that can't be kept, the next answer is."""
        self._hinted.answered(reply)
        way, at_ms = self._sent
        self._reached(way, boot, at_ms)

    def _reached(self, way: str, boot: str, at_ms: int) -> None:
        if not way:
            return
        path = self._run / REACHED
        try:
            make_folder(path.parent, files=self._files)
            sealed.write(path, sealed.bytes_of(Reached(way, boot, at_ms)), self._files)
        except DiskError:
            return

    def _write(self, plan: Plan) -> str | None:
        try:
            write_wanted(self._state, plan, self._files)
        except DiskError as error:
            return str(error)
        return None


def _ways(status: Status | None) -> Ways:
    return Ways(status.lan, status.narrow) if status else Ways()


def told(state: Path) -> Plan | None:
    """What was wanted last; None where that is nothing, or cannot be read."""
    found = sealed.read_twice(state / WANTED)
    plan = sealed.message(Plan, found.data, WANTED) if isinstance(found, Twice) else None
    return plan if isinstance(plan, Plan) else None


def write_wanted(state: Path, plan: Plan, files: Files = REAL) -> None:
    """It is on disk when this returns, twice. What is there already is not written anew. Raises DiskError."""
    path, data = state / WANTED, sealed.bytes_of(plan)
    if sealed.read_twice(path) == Twice(data):
        return
    make_folder(path.parent, files=files)
    sealed.write_twice(path, data, files)
