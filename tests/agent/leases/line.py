"""A fenced copy's node on a line to a hub, for the tests of beats and of what follows from them."""

from __future__ import annotations

from dataclasses import dataclass

from skerry_agent.disk.files import REAL, Files
from skerry_agent.hublink.bus import NodeBus
from skerry_agent.leases.beating import Beating
from skerry_agent.units.leaseunits import target_name
from skerry_hub.beats import boots
from skerry_hub.beats.boots import Boot
from skerry_protocol.ids import NodeId
from skerry_protocol.messages import Beat, BeatReply
from tests.natsrig import Hub

from .. import builders as b
from ..noderig import Copy, Rig

FENCED = Copy(b.fenced("db"))
DB = "skerry-db-0.service"
LENGTH = 0 if FENCED.instance.lease is None else FENCED.instance.lease.length_ms
TARGET = target_name(LENGTH)


class Counting(Hub):
    """Answers as the hub does, by its own `boots`; grants every length that is asked for while `gives`."""

    def __init__(self, node: NodeId) -> None:
        super().__init__()
        self.boot = Boot(node)
        self.troubles: list[str] = []
        self.gives = True
        self.mute = False
        self.retell = False

    def on_beat(self, node: NodeId, beat: Beat, now: int) -> BeatReply | None:
        heard = boots.hear(self.boot, beat, 0.0, {})
        self.beats.append((node, beat))
        if heard.trouble:
            self.troubles.append(heard.trouble)
        number = boots.answer(self.boot, beat)
        if self.mute:
            return None
        lengths = (
            tuple(sorted({one.length_ms for one in beat.claims})) if self.gives and not heard.trouble else ()
        )
        return BeatReply(1, number, lengths, retell=self.retell)


@dataclass(frozen=True)
class Line:
    """The node, its way to the hub, and that."""

    rig: Rig
    bus: NodeBus
    hub: Counting

    def beating(self, files: Files = REAL) -> Beating:
        """An agent that has looked at nothing yet."""

        async def ignored(_reply: BeatReply) -> None:
            return

        rig = self.rig
        return Beating(
            rig.node, rig.systemd, self.bus, ignored, "1", rig.places.run, rig.places.run_units, files=files
        )

    async def agent(self, files: Files = REAL) -> Beating:
        """An agent that knows what it is to run."""
        made = self.beating(files)
        await made.assigned()
        return made
