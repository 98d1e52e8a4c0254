"""A node that runs one fenced copy, and its line to a hub that counts its beats."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.natsrig import started

from .. import builders as b
from ..noderig import Rig, assignment
from .line import FENCED, Counting, Line


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    (tmp_path / "machine").mkdir()
    made = Rig(tmp_path / "machine")
    made.node.offer(b.envelope(assignment(1, FENCED)))
    await made.switch()
    return made


@pytest.fixture
async def line(tmp_path: Path, rig: Rig) -> AsyncIterator[Line]:
    async with started(tmp_path) as nats, nats.node() as node:
        hub = Counting(node.id)
        async with nats.hub(hub):
            yield Line(rig, node.bus, hub)
