"""The running agent loads what it needs to stay in sync, and no more. Takes a second: a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

# Joining, the network library, the command line and its help, other people's HTTP, the hub.
NOT_LOADED = (
    "click", "rich", "pyroute2", "httpx", "skerry_hub", "skerry_agent.commands", "skerry_agent.joining.join",
    "skerry_agent.view.show", "skerry_agent.view.localclient", "skerry_agent.cli", "sqlite3", "sqlalchemy",
    "hypothesis",
)  # fmt: skip


def test_the_running_agent_does_not_load_what_it_does_not_need() -> None:
    code = "import sys, skerry_agent.start; print('\\n'.join(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = set(said.split())
    assert "skerry_agent.daemon" in loaded
    assert [name for name in NOT_LOADED if name in loaded] == []
