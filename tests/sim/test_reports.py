"""Reports that cannot be stored, on the simulated NATS and a clock that jumps: the real ones wait for a while."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from skerry_hub.nats import link, reports
from skerry_hub.nats.rejects import Rejects
from skerry_protocol import subjects
from skerry_protocol.codec import encode
from skerry_protocol.ids import NodeId
from skerry_protocol.messages import Entry, Event, ReportBatch
from tests.natsrig import REGION

from . import nats
from .natsserver import Server
from .universe import Loop
from .world import Here

BAD, GOOD = NodeId("naaaaaaaaaaaaaaaa"), NodeId("nbbbbbbbbbbbbbbbb")
FIRST_TRIES = reports.TRIES
COUNT = 9


def batch(number: int) -> ReportBatch:
    return ReportBatch("box", (Entry(number, event=Event("boot", "booted", 5)),))


async def _play(loop: Loop) -> list[tuple[NodeId, int]]:
    """Two nodes report on and on; the first report of one cannot be stored for a while. What was stored, in order."""
    stored: list[tuple[NodeId, int]] = []
    server, failed, done = Server(loop), [0], asyncio.Event()
    client = nats.Client(server, Here(loop), lambda: None, "_INBOX_hub")
    server.clients[client] = None
    js = cast("Any", client.jetstream())
    await link.ensure_streams(js, REGION)

    async def on_report(*said: tuple[NodeId, ReportBatch]) -> None:
        if (
            any(node == BAD and batch.entries[0].seq == 1 for node, batch in said)
            and failed[0] < 2 * FIRST_TRIES
        ):
            failed[0] += 1
            raise OSError("no space left")
        stored.extend((node, batch.entries[0].seq) for node, batch in said)
        if len(stored) == 2 * COUNT:
            done.set()

    taking = asyncio.ensure_future(reports.run(js, on_report, Rejects()))
    for number in range(1, COUNT + 1):
        for node in (BAD, GOOD):
            await js.publish(subjects.report(REGION, node), encode(batch(number)))
        await asyncio.sleep(25)
    await done.wait()
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    return stored


def test_nothing_passes_a_report_of_its_node_that_comes_again() -> None:
    loop = Loop()
    try:
        stored = loop.run_until_complete(_play(loop))
    finally:
        loop.close()
    for node in (BAD, GOOD):
        assert [number for one, number in stored if one == node] == list(range(1, COUNT + 1))
    assert stored.index((GOOD, 2)) < stored.index((BAD, 1))  # and who can do nothing for it does not wait
