"""How a port is written in an app file. The rules between ports are in `portrules`."""

from __future__ import annotations

import re

from skerry_protocol.network import Port, Transport

from ..units import Wrong
from .kinds import Leaf

NUMBER_MAX = 65_535
PORTS_MAX = 64
EXPECTED = f'a port from 1 to {NUMBER_MAX}: a number such as 8080 for TCP, or "53/udp"'
_TRANSPORTS = "|".join(Transport)
_NUMBER = "[1-9][0-9]{0,4}"
_WRITTEN = re.compile(rf"({_NUMBER})/({_TRANSPORTS})")
_NEARLY = re.compile(rf"({_NUMBER})(?: ?[/:] ?({_TRANSPORTS}))?", re.IGNORECASE)


def port() -> Leaf[Port]:
    """A number, which is TCP's, or a number with its transport."""
    written = {"type": "string", "pattern": f"^{_NUMBER}/(?:{_TRANSPORTS})$"}
    number = {"type": "integer", "minimum": 1, "maximum": NUMBER_MAX}
    return Leaf(_port, {"anyOf": [number, written]})


def _port(value: object) -> Port | Wrong:
    if isinstance(value, int) and not isinstance(value, bool):
        return _checked(Port(value))
    match = _WRITTEN.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        return _checked(Port(int(match[1]), Transport(match[2])))
    nearly = _NEARLY.fullmatch(value) if isinstance(value, str) else None
    return Wrong(EXPECTED, f"write {_meant(nearly)}" if nearly else "")


def _checked(found: Port) -> Port | Wrong:
    return found if 1 <= found.number <= NUMBER_MAX else Wrong(EXPECTED)


def _meant(nearly: re.Match[str]) -> str:
    return f'"{nearly[1]}/{nearly[2].lower()}"' if nearly[2] else nearly[1]


def write_port(found: Port) -> int | str:
    """As an operator writes it. What no file could hold comes out as such, for the rules to find."""
    return found.number if found.transport is Transport.TCP else str(found)
