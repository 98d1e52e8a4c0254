"""As much of pyroute2 as is used here: half of its memory, in a process that stays.

The package itself loads every protocol that it knows. Its modules need none of that; so they are loaded beneath an
empty one, which is taken away again: who imports the package later gets the whole.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["AsyncIPRoute", "NetlinkError", "part"]
_PACKAGE = "pyroute2"


def part(name: str) -> Any:
    """One of its modules."""
    if _PACKAGE in sys.modules:
        return import_module(f"{_PACKAGE}.{name}")
    empty, spec = ModuleType(_PACKAGE), find_spec(_PACKAGE)
    empty.__path__ = list(spec.submodule_search_locations or ()) if spec else []
    sys.modules[_PACKAGE] = empty
    try:
        return import_module(f"{_PACKAGE}.{name}")
    finally:
        del sys.modules[_PACKAGE]


AsyncIPRoute: Any = part("iproute.linux").AsyncIPRoute
if TYPE_CHECKING:
    from pyroute2 import NetlinkError
else:
    NetlinkError = part("netlink.exceptions").NetlinkError
