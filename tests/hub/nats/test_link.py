"""The hub's connection to NATS, against a real nats-server."""

from pathlib import Path

from skerry_hub.nats.link import Telling
from tests.natsrig import started, tells_of_its_end


async def test_a_connection_that_ends_with_something_to_be_written_says_that_it_ended(tmp_path: Path) -> None:
    async with started(tmp_path) as rig:
        await tells_of_its_end(rig, Telling())
