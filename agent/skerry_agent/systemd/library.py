"""pystemd's lowest layer, and nothing else of pystemd.

Its package loads lxml and psutil to read what objects say of themselves, which nobody here asks for: a third of what
the running agent would have in memory beside Python. So only the two compiled modules are loaded, from the folder that
the package is in. Loaded when a connection is made: only a process that talks to systemd pays for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

PACKAGE = "pystemd"


class Library(NamedTuple):
    """The bus, what its methods raise, and the names of things as parts of object paths."""

    bus: Any
    error: Any
    path_encode: Callable[[bytes, bytes], bytes]
    path_decode: Callable[[bytes, bytes], bytes]


@cache
def load() -> Library:
    """Raises ImportError where pystemd is not installed."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("cannot talk to systemd: pystemd is not installed")
    loaded = sys.modules.get(PACKAGE)
    if loaded is None:
        bare = sys.modules[PACKAGE] = ModuleType(PACKAGE)
        bare.__path__ = list(spec.submodule_search_locations)
    try:
        lowest = import_module(f"{PACKAGE}.dbuslib")
        error = import_module(f"{PACKAGE}.dbusexc").DBusBaseError
    finally:
        if loaded is None:  # whoever wants the whole package still gets it
            del sys.modules[PACKAGE]
    return Library(lowest.DBus, error, lowest.path_encode, lowest.path_decode)
