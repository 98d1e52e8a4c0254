"""A node that runs one fenced copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from .. import builders as b
from ..noderig import Copy, Rig, assignment

FENCED = Copy(b.fenced("db"))


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    (tmp_path / "machine").mkdir()
    made = Rig(tmp_path / "machine")
    made.node.offer(b.envelope(assignment(1, FENCED)))
    await made.switch()
    return made
