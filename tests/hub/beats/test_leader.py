"""The term under which a hub answers, also after its store was put back."""

import asyncio
from pathlib import Path

from skerry_hub.beats.leader import take_lead
from skerry_hub.store import Store

from ..hubs import Machine, serving, token_of


async def test_each_start_takes_the_next_term(tmp_path: Path) -> None:
    for expected in (1, 2, 3):
        store = await Store.open(tmp_path / "hub.db")
        assert await take_lead(store, "me") == expected
        await store.close()


# Starts nats-server: seconds.
async def test_a_hub_that_was_put_back_answers_under_a_term_that_its_nodes_heed(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub", nats_url=None) as desk:
        machine = Machine(desk)
        await machine.join(desk.client, await token_of(desk))
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)
        bus = await machine.connect()
        assert (await machine.beat(bus)).term == 1
        assert (
            await machine.beat(bus, term=7)
        ).term == 8  # what the node saw before the old backup was put back
        assert (await machine.beat(bus, term=2)).term == 8
        assert (await machine.beat(bus, term=1 << 40)).term == 8  # no honest node has seen that
        await bus.close()
    async with serving(tmp_path / "hub", desk.token, nats_url=None) as desk:
        assert desk.hub.hearing.term == 9
