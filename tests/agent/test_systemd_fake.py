"""The fake keeps every promise that the real systemd keeps (tests/lab/test_systemd_real.py runs the same on that)."""

from pathlib import Path

import pytest

from skerry_agent.systemd import JobResult, Outcome, Resync
from skerry_agent.systemd.fake import FakeSystemd

from .systemd_conformance import PROMISES, UNIT, Machine

pytestmark = pytest.mark.anyio


def machine(folder: Path) -> tuple[Machine, FakeSystemd]:
    units, run = folder / "etc", folder / "run"
    units.mkdir()
    run.mkdir()
    fake = FakeSystemd([units, run])

    async def pass_time(seconds: float) -> None:
        fake.advance(int(seconds * 1e6))

    return Machine(fake, units, run, pass_time), fake


@pytest.mark.parametrize("name", PROMISES)
async def test_promise(name: str, tmp_path: Path) -> None:
    await PROMISES[name](machine(tmp_path)[0])


async def test_unreachable_is_data(tmp_path: Path) -> None:
    m, fake = machine(tmp_path)
    fake.unreachable = True
    assert (await fake.start(UNIT, 1)).result is JobResult.LOST
    assert isinstance(await fake.units(["*"]), Outcome)
    assert isinstance(await m.arm(10), Outcome)


async def test_a_crash_is_restarted_where_the_unit_says_so(tmp_path: Path) -> None:
    m, fake = machine(tmp_path)
    before = await m.start(m.service(UNIT, more="Restart=always"))
    fake.crash(UNIT)
    after = await m.one(UNIT)
    assert after.restarts == 1
    assert after.main_pid != before.main_pid


async def test_a_boot_starts_what_is_wanted(tmp_path: Path) -> None:
    m, fake = machine(tmp_path)
    m.put("skerry.target", "[Unit]\n")
    m.want("multi-user.target", "skerry.target")
    m.want("skerry.target", m.service(UNIT))
    name = m.fenced("skerry-fenced-0.service")
    await m.armed(60)
    fake.reboot()
    assert (await m.one(UNIT)).up
    assert not (await m.one(name)).up


async def test_a_reader_that_falls_behind_is_told(tmp_path: Path) -> None:
    m, fake = machine(tmp_path)
    reader = fake.changes()
    await anext(reader)
    m.service(UNIT)
    for _ in range(2100):
        await fake.start(UNIT, 1)
        await fake.stop(UNIT, 1)
    first = await anext(reader)
    assert isinstance(first, Resync)
    assert "behind" in first.reason
