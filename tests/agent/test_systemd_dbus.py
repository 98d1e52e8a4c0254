"""The real port where there is no systemd to talk to: everything is data, and nothing is said to be done."""

from pathlib import Path
from uuid import UUID

import pytest

from skerry_agent.systemd import JobResult, Outcome
from skerry_agent.systemd.dbus import DbusSystemd
from skerry_agent.systemd.wire import numbers

pytestmark = pytest.mark.anyio
UNIT = "skerry-web-0.service"


async def test_no_bus_is_lost_never_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    systemd = DbusSystemd()
    assert systemd.open().result is JobResult.LOST
    outcomes = [
        await systemd.start(UNIT, 1),
        await systemd.stop(UNIT, 1),
        await systemd.restart(UNIT, 1),
        await systemd.reset_failed(UNIT),
        await systemd.set_properties(UNIT, {"TasksMax": 1}, runtime=True),
        await systemd.stop_rules(UNIT),
        await systemd.user(UNIT),
        await systemd.units(["*"]),
        await systemd.show([UNIT]),
        await systemd.reload(0.01),
    ]
    for outcome in outcomes:
        assert isinstance(outcome, Outcome)
        assert outcome.result in {JobResult.LOST, JobResult.LATE}
        assert outcome.reason
    assert await systemd.system_state() == "unknown"
    assert await systemd.manager_start_us() is None
    systemd.close()


async def test_clocks_run() -> None:
    systemd = DbusSystemd()
    assert 0 < systemd.monotonic_us() <= systemd.boottime_us() + 1
    assert UUID(systemd.boot_id()) == UUID(DbusSystemd().boot_id())
    systemd.close()


def test_a_property_list_is_balanced() -> None:
    depth = 0
    for kind, _ in numbers({"TasksMax": 1, "CPUWeight": 2}):
        depth += 1 if kind in {ord("a"), ord("r"), ord("v")} else -1 if kind == -1 else 0
        assert depth >= 0
    assert depth == 0
