"""A node's bus and a hub's bus against a real nats-server. Each test starts one: about 0.3 s."""

from pathlib import Path

from skerry_protocol.messages import Ask, AskPart, Beat, Entry, Event, ReportBatch
from tests.natsrig import Hub, row, started, within


async def test_what_a_node_and_its_hub_say_to_each_other(tmp_path: Path) -> None:
    hub = Hub()
    async with started(tmp_path) as rig, rig.hub(hub) as bus, rig.node() as node:
        assert (await node.bus.beat(Beat("boot-1"))).number == 1
        assert hub.beats == [(node.id, Beat("boot-1"))]

        assert await node.bus.newest() is None
        hub.rows[node.id] = row(node.id, 1, b"first")
        bus.publish([node.id])
        assert await node.next_heard() == b"first"
        assert await node.bus.newest() == b"first"

        batch = ReportBatch("box", (Entry(1, event=Event("boot", "booted", 5)),))
        await node.bus.report(batch)
        assert await hub.next_report() == (node.id, batch)

        assert [part async for part in bus.ask(node.id, Ask("status"))] == [
            AskPart(lines=("status",), last=True)
        ]
        await bus.nudge([node.id])
        await within(node.nudges.get())
