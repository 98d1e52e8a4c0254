"""What systemd has in memory of a unit, read property by property and given our types.

Owns the names and D-Bus types of the properties (org.freedesktop.systemd1(5)). Every function raises the bus's Lost and
Refused; what comes in another type than expected counts as nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from msgspec import structs

from .bus import SYSTEMD, Bus
from .library import load
from .port import LoadState, StopRules, UnitState

UNIT_INTERFACE = SYSTEMD + b".Unit"
SERVICE_INTERFACE = SYSTEMD + b".Service"
UNIT_PREFIX = b"/org/freedesktop/systemd1/unit"
INFINITY = (1 << 64) - 1


def unit_state(bus: Bus, row: Sequence[object]) -> UnitState:
    """A row of ListUnits*, with what it leaves out: nine questions to systemd."""
    unit, path = _listed(row)
    if unit.load is not LoadState.LOADED:
        return unit
    values = _unit_values(bus, path) | (_service_values(bus, path) if _is_service(unit) else {})
    return UnitState(unit.name, unit.load, unit.active, unit.sub, **values)  # type: ignore[arg-type]


def unit_listed(closely: Collection[str], bus: Bus, row: Sequence[object]) -> UnitState:
    """As UnitState.listed; of those in `closely` as UnitState.briefly, which are two questions to systemd."""
    unit, path = _listed(row)
    if unit.name not in closely or unit.load is not LoadState.LOADED:
        return unit
    stops = _stop_timeout_us(bus, path) if _is_service(unit) else 0
    return structs.replace(unit, stale=_stale(bus, path), stop_timeout_us=stops)


def _listed(row: Sequence[object]) -> tuple[UnitState, bytes]:
    path = row[6]
    assert isinstance(path, bytes)
    return UnitState(text_of(row[0]), LoadState(text_of(row[2])), text_of(row[3]), text_of(row[4])), path


def _is_service(unit: UnitState) -> bool:
    return unit.name.endswith(".service")


def _stale(bus: Bus, path: bytes) -> bool:
    return bool(bus.get(path, UNIT_INTERFACE, "NeedDaemonReload", "b"))


def _stop_timeout_us(bus: Bus, path: bytes) -> int | None:
    return _finite(number_of(bus.get(path, SERVICE_INTERFACE, "TimeoutStopUSec", "t")))


def _unit_values(bus: Bus, path: bytes) -> dict[str, object]:
    invocation = bus.get(path, UNIT_INTERFACE, "InvocationID", "ay")
    return {
        "invocation": bytes(invocation).hex() if isinstance(invocation, list) else "",
        "stale": _stale(bus, path),
        "entered_us": number_of(bus.get(path, UNIT_INTERFACE, "ActiveEnterTimestampMonotonic", "t")),
    }


def _service_values(bus: Bus, path: bytes) -> dict[str, object]:
    def number(name: str, signature: str) -> int:
        return number_of(bus.get(path, SERVICE_INTERFACE, name, signature))

    return {
        "main_pid": number("MainPID", "u"),
        "stop_timeout_us": _stop_timeout_us(bus, path),
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
    return bytes(load().path_encode(UNIT_PREFIX, unit.encode()))


def name_of(path: bytes) -> str:
    """The unit of a D-Bus object."""
    return bytes(load().path_decode(path, UNIT_PREFIX)).decode(errors="replace")


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
