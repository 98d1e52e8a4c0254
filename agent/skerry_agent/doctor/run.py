"""What `skerry-agent doctor` does: measures, judges, and has it said."""

from __future__ import annotations

import asyncio

from skerry_protocol.findings import Finding

from .judging import judge
from .measure import measure


def findings() -> tuple[Finding, ...]:
    """Every check, in the order in which to mend. Ends within 20 s whatever is broken; changes nothing."""
    return judge(asyncio.run(measure()))
