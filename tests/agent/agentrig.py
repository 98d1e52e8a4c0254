"""A whole agent on a fake systemd and a real nats-server, with a hub's bus at the other end of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from skerry_agent.daemon import Agent
from skerry_agent.joining import identity as identities
from skerry_agent.view.localclient import ask
from skerry_hub.nats.bus import HubBus
from skerry_protocol.ids import NodeId
from skerry_protocol.messages import Assignment, ReportBatch, StepName, StepState
from tests import natsrig

from . import builders as b
from .noderig import Rig, identity


class Mesh:
    """One node, whose agent may be started and stopped, and one hub."""

    def __init__(self, nats: natsrig.Rig, hub: natsrig.Hub, bus: HubBus, folder: Path) -> None:
        self.nats, self.hub, self.bus = nats, hub, bus
        made = nats.make_node()
        self.id: NodeId = made.id
        (folder / "machine").mkdir()
        who = identity(made.id, nats.tls_key, made.credentials, (nats.server.url,))
        self.rig = Rig(folder / "machine", who)
        state = self.rig.places.state
        (state / "identity" / identities.KEY_FILE).write_bytes(made.key)

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Agent]:
        """A running agent; it is ended as by SIGTERM."""
        agent = Agent(self.rig.places, self.rig.identity, self.rig.systemd, self.rig.disk)
        self.rig.node = agent.node
        stopping = asyncio.Event()
        task = asyncio.create_task(agent.run(stopping))
        try:
            yield agent
        finally:
            stopping.set()
            async with asyncio.timeout(natsrig.DEADLINE_S):
                await task

    def publish(self, made: Assignment, envelope: bytes | None = None) -> None:
        row = natsrig.row(self.id, made.version.generation, envelope or b.envelope(made))
        self.hub.rows[self.id] = row
        self.bus.publish([self.id])

    async def asked(self, do: str, **args: str | int | bool) -> list[object]:
        """What the command line is told by the agent."""
        path = self.rig.places.run / "agent.sock"
        return await asyncio.to_thread(lambda: list(ask(do, args, path)))

    async def step(self, agent: Agent, name: StepName, state: StepState) -> str:
        """Until some instance's step of that name is in that state: its reason."""

        def found() -> list[str]:
            return [one.reason for one in agent.reporter.newest() if (one.step, one.state) == (name, state)]

        await natsrig.until(lambda: bool(found()))
        return found()[0]

    def reports(self) -> list[ReportBatch]:
        found = []
        while not self.hub.reports.empty():
            found.append(self.hub.reports.get_nowait()[1])
        return found


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    hub = natsrig.Hub()
    async with natsrig.started(tmp_path) as nats, nats.hub(hub) as bus:
        yield Mesh(nats, hub, bus, tmp_path)
