"""What systemd has in memory of a unit, read property by property and given our types.

Owns the names and D-Bus types of the properties (org.freedesktop.systemd1(5)). Every function raises the bus's Lost and
Refused; what comes in another type than expected counts as nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .bus import SYSTEMD, Bus
from .port import LoadState, StopRules, UnitState

UNIT_INTERFACE = SYSTEMD + b".Unit"
SERVICE_INTERFACE = SYSTEMD + b".Service"
UNIT_PREFIX = b"/org/freedesktop/systemd1/unit"
INFINITY = (1 << 64) - 1


def unit_state(bus: Bus, row: Sequence[object]) -> UnitState:
    """A row of ListUnits*, with what it leaves out."""
    name, load = text_of(row[0]), LoadState(text_of(row[2]))
    active, sub, path = text_of(row[3]), text_of(row[4]), row[6]
    assert isinstance(path, bytes)
    if load is not LoadState.LOADED:
        return UnitState(name, load, active, sub)
    values = _unit_values(bus, path) | (_service_values(bus, path) if name.endswith(".service") else {})
    return UnitState(name, load, active, sub, **values)  # type: ignore[arg-type]


def _unit_values(bus: Bus, path: bytes) -> dict[str, object]:
    invocation = bus.get(path, UNIT_INTERFACE, "InvocationID", "ay")
    return {
        "invocation": bytes(invocation).hex() if isinstance(invocation, list) else "",
        "stale": bool(bus.get(path, UNIT_INTERFACE, "NeedDaemonReload", "b")),
        "entered_us": number_of(bus.get(path, UNIT_INTERFACE, "ActiveEnterTimestampMonotonic", "t")),
    }


def _service_values(bus: Bus, path: bytes) -> dict[str, object]:
    def number(name: str, signature: str) -> int:
        return number_of(bus.get(path, SERVICE_INTERFACE, name, signature))

    return {
        "main_pid": number("MainPID", "u"),
        "stop_timeout_us": _finite(number("TimeoutStopUSec", "t")),
        "exit_code": number("ExecMainCode", "i"),
        "exit_status": number("ExecMainStatus", "i"),
        "restarts": number("NRestarts", "u"),
        "result": text_of(bus.get(path, SERVICE_INTERFACE, "Result", "s")),
    }


def stop_rules(bus: Bus, unit: str) -> StopRules:
    """How the service would be stopped, with every drop-in."""
    path = path_of(unit)

    def service(name: str, signature: str) -> object:
        return bus.get(path, SERVICE_INTERFACE, name, signature)

    def names(name: str) -> tuple[str, ...]:
        return tuple(text_of(item) for item in rows_of(bus.get(path, UNIT_INTERFACE, name, "as")))

    commands = [service(name, "a(sasbttttuii)") for name in ("ExecStop", "ExecStopPost")]
    return StopRules(
        stop_timeout_us=_finite(number_of(service("TimeoutStopUSec", "t"))),
        kill_mode=text_of(service("KillMode", "s")),
        send_sigkill=bool(service("SendSIGKILL", "b")),
        notify_access=text_of(service("NotifyAccess", "s")),
        stop_commands=sum(len(rows_of(lines)) for lines in commands),
        requisite=names("Requisite"),
        wanted_by=names("WantedBy"),
        drop_ins=names("DropInPaths"),
    )


def user(bus: Bus, unit: str) -> str:
    """Whom the service runs as; with DynamicUser= the name that systemd made up."""
    return text_of(bus.get(path_of(unit), SERVICE_INTERFACE, "User", "s"))


def path_of(unit: str) -> bytes:
    """The D-Bus object of a unit."""
    from pystemd.dbuslib import path_encode  # noqa: PLC0415 - only who talks to systemd pays for it

    return bytes(path_encode(UNIT_PREFIX, unit.encode()))


def name_of(path: bytes) -> str:
    """The unit of a D-Bus object."""
    from pystemd.dbuslib import path_decode  # noqa: PLC0415 - as above

    return bytes(path_decode(path, UNIT_PREFIX)).decode(errors="replace")


def text_of(value: object) -> str:
    """A D-Bus string, path or signature."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def number_of(value: object) -> int:
    """A D-Bus number."""
    return value if isinstance(value, int) else 0


def rows_of(value: object) -> Sequence[Any]:
    """A D-Bus array or struct; pystemd gives an empty list where there is nothing."""
    return value if isinstance(value, (list, tuple)) else ()


def _finite(value: int) -> int | None:
    return None if value == INFINITY else value
