"""The running agent loads what it needs to stay in sync, and no more. Takes seconds: fresh interpreters."""

from __future__ import annotations

import subprocess
import sys

# Joining, the network library, the command line and its help, other people's HTTP, the hub; what libraries would bring
# along that a node never uses: XML, most of JetStream and of X.509, archives and mail (to read a version number); and
# what a node at rest does not need: HTTP, TOML.
NOT_LOADED = (
    "click", "rich", "pyroute2", "httpx", "skerry_hub", "skerry_agent.commands", "skerry_agent.joining.join",
    "skerry_agent.view.show", "skerry_agent.view.localclient", "skerry_agent.cli", "sqlite3", "sqlalchemy",
    "hypothesis", "lxml", "psutil", "nats.js.client", "nats.js.kv", "nats.js.object_store", "cryptography.x509",
    "cryptography.hazmat.primitives.serialization.ssh", "importlib.metadata", "zipfile", "email.message",
    "http.client", "skerry_agent.hublink.exchange", "tomllib", "shutil", "bz2", "lzma",
)  # fmt: skip
# Neither a hub nor anything that must be verified: it runs beside the start of every unit.
NOT_TO_RESTORE = (
    *NOT_LOADED,
    "nats",
    "skerry_agent.daemon",
    "skerry_agent.hublink.bus",
    "skerry_agent.start",
)
NOT_TO_SEE = ("asyncio", "ssl", "logging", "cryptography", "pystemd", "skerry_agent.disk.disk")
LIBRARY = "from skerry_agent.systemd import library; library.load()"


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after `code`."""
    whole = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    said = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=True).stdout
    return set(said.split())


def test_the_running_agent_does_not_load_what_it_does_not_need() -> None:
    loaded = loaded_by(
        f"import skerry_agent.start; from skerry_agent.release import version; version(); {LIBRARY}"
    )
    assert {"skerry_agent.daemon", "nats.aio.client", "pystemd.dbuslib"} <= loaded
    assert [name for name in NOT_LOADED if name in loaded] == []


def test_restoring_at_boot_loads_even_less() -> None:
    loaded = loaded_by(f"import skerry_agent.restoring; {LIBRARY}")
    assert "skerry_agent.units.restore" in loaded
    assert [name for name in NOT_TO_RESTORE if name in loaded] == []


def test_seeing_at_boot_that_nothing_is_missing_loads_the_least() -> None:
    loaded = loaded_by("import skerry_agent.boot")
    assert "skerry_agent.switch.putback" in loaded
    assert [name for name in (*NOT_TO_RESTORE, *NOT_TO_SEE) if name in loaded] == []


def test_what_was_left_out_of_a_library_is_there_for_others() -> None:
    loaded = loaded_by(
        "import skerry_agent.hublink.natslib, nats, nats.js\n"
        f"{LIBRARY}\n"
        "from nats.js import JetStreamContext\n"
        "assert nats.js.JetStreamManager and nats.js.api.Header and nats.js.errors.APIError\n"
        "assert not hasattr(nats.js, 'nothing')\n"
        "from importlib.metadata import version\n"
        "assert version('nats-py')\n"
        "import pystemd\n"
        "assert pystemd.SDUnit"
    )
    assert {"nats.js.client", "pystemd.systemd1"} <= loaded


def test_what_was_loaded_before_is_left_alone() -> None:
    loaded_by(
        "import importlib.metadata, nats.js, pystemd\n"
        "before = dict(sys.modules)\n"
        f"import skerry_agent.hublink.natslib; {LIBRARY}\n"
        "assert all(sys.modules[name] is before[name] for name in before)"
    )
