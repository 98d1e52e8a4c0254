"""nats-py's client, without the rest of nats-py: a node's memory is dear, and it uses a few percent of that library.

Left out while it loads: all of its JetStream but names and errors (a node publishes and asks, it manages no streams),
and the library that reads packages' metadata, of which it wants its own version number alone, and can do without. Both
are there for whoever asks for them later in the same process. Whatever a node does with NATS takes the library from
here, and from nowhere else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

METADATA = "importlib.metadata"
JETSTREAM = "nats.js"
HOMES = {
    "JetStreamContext": "client",
    "JetStreamManager": "manager",
}  # what `nats.js` itself would import from where


class _JetStream(ModuleType):
    """The package `nats.js`, whose larger parts are loaded when somebody asks for one."""

    def __getattr__(self, name: str) -> object:
        if name not in HOMES:
            raise AttributeError(f"module '{JETSTREAM}' has no attribute '{name}'")
        return getattr(import_module(f"{JETSTREAM}.{HOMES[name]}"), name)


@contextmanager
def _lean() -> Iterator[None]:
    """What was loaded before stays as it is. Without the library nothing is done: importing it says so better."""
    found = find_spec("nats")
    if found is None or JETSTREAM in sys.modules:
        yield
        return
    bare = sys.modules[JETSTREAM] = _JetStream(JETSTREAM)
    bare.__path__ = [str(Path(folder, "js")) for folder in found.submodule_search_locations or ()]
    hidden = METADATA not in sys.modules
    if hidden:
        sys.modules[METADATA] = None  # type: ignore[assignment] # so that importing it is an ImportError
    try:
        yield
    finally:
        if hidden:
            del sys.modules[METADATA]
    sys.modules["nats"].__dict__["js"] = bare  # as an import would have


with _lean():
    from nats import errors
    from nats.aio.client import Client as _Client
    from nats.aio.msg import Msg
    from nats.js.errors import APIError


class Client(_Client):
    """As the library has it, but its end is always told.

    The library says that a connection is closed, then writes what is still to be written; where that fails because the
    other end is gone, it comes to none of its callbacks, and whoever waits for one waits for ever. `closed_cb` may be
    called twice.
    """

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        try:
            await super()._close(status, do_cbs)
        finally:
            if do_cbs and self._closed_cb is not None:
                await self._closed_cb()


__all__ = ["APIError", "Client", "Msg", "errors"]
