"""The fence on real timers, pipes and processes; control groups are folders with the kernel's files in them."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry_agent.fence import killing, records
from skerry_agent.fence.kernel import Timer, boottime_ms
from skerry_agent.fence.run import Fence
from skerry_agent.fence.verdict import SLACK_MS, slice_name

L, S = 10_000, 1_000
SOON_S = 10.0


class Groups:
    """A tree of control groups with one slice. `modern`: with cgroup.kill and cgroup.events, as version 2 has them."""

    def __init__(self, root: Path, modern: bool) -> None:
        self.root, self.modern = root, modern
        self.slice = root / "skerry.slice" / slice_name(L, S)
        self.unit = self.slice / "skerry-db-0.service"
        self.unit.mkdir(parents=True)
        (root / "skerry.slice" / "skerry-web-0.service").mkdir()
        (self.slice / "cgroup.procs").touch()
        if modern:
            (self.slice / "cgroup.kill").touch()
        self.put()

    def put(self, *pids: int) -> None:
        (self.unit / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in (0, *pids)))
        if self.modern:
            (self.slice / "cgroup.events").write_text(f"populated {int(bool(pids))}\nfrozen 0\n")

    def killed(self) -> bool:
        return (self.slice / "cgroup.kill").read_text() == "1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "fence"
    made.mkdir()
    return made


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "inf"])
    yield process
    process.kill()
    process.wait()


def told(folder: Path, deadline_ms: int) -> None:
    (folder / str(L)).write_bytes(records.text(deadline_ms))


def fence(folder: Path, groups: Groups) -> Fence:
    return Fence(str(folder), (str(groups.root / "no-such"), str(groups.root)))


def test_a_slice_is_killed_whole_once_it_is_due(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    groups = Groups(tmp_path / "cgroup", modern=True)
    groups.put(4711)
    one = fence(folder, groups)
    told(folder, boottime_ms() + 60_000)
    one.turn()
    assert not groups.killed()
    told(folder, boottime_ms() - S - SLACK_MS)
    one.turn()
    assert groups.killed()
    one.turn()
    one.close()
    assert capfd.readouterr().err.count(f"killed {slice_name(L, S)}: its lease was over") == 1, "said once"


def test_an_empty_slice_is_left_alone(folder: Path, tmp_path: Path) -> None:
    groups = Groups(tmp_path / "cgroup", modern=True)
    told(folder, boottime_ms() - 10**6)
    one = fence(folder, groups)
    one.turn()
    one.close()
    assert not groups.killed()


def test_without_cgroup_kill_each_process_is_killed(
    folder: Path, tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    groups = Groups(tmp_path / "cgroup", modern=False)
    groups.put(sleeper.pid)
    told(folder, boottime_ms() - S - SLACK_MS)
    one = fence(folder, groups)
    one.turn()
    one.close()
    assert sleeper.wait(SOON_S) == -9


def test_a_fence_that_begins_late_reads_what_is_due_and_kills_at_once(folder: Path, tmp_path: Path) -> None:
    """As after it was killed itself."""
    groups = Groups(tmp_path / "cgroup", modern=True)
    groups.put(4711)
    told(folder, boottime_ms() - S - SLACK_MS)
    first = fence(folder, groups)
    first.close()
    again = fence(folder, groups)
    again.turn()
    again.close()
    assert groups.killed()


def test_its_own_timer_wakes_it(folder: Path, tmp_path: Path) -> None:
    groups = Groups(tmp_path / "cgroup", modern=True)
    groups.put(4711)
    told(folder, boottime_ms() - S - SLACK_MS + 50)
    one = fence(folder, groups)
    while not groups.killed():
        one.turn()
        one.sleep()
    one.close()


def test_the_agent_wakes_it_and_knows_whether_there_is_one(folder: Path, tmp_path: Path) -> None:
    groups = Groups(tmp_path / "cgroup", modern=True)
    assert not records.wake(str(folder)), "there never was one"
    one = fence(folder, groups)
    one.turn()
    assert records.wake(str(folder))
    one.sleep()
    one.close()
    assert not records.wake(str(folder)), "there is none any more"


@pytest.mark.parametrize("content", [b"", b"tomorrow", b"-5\n", b"1" * 20, b"\xff", b"5 6\n"])
def test_a_damaged_record_says_nothing(folder: Path, content: bytes) -> None:
    (folder / str(L)).write_bytes(content)
    (folder / "20000").write_bytes(records.text(77))
    (folder / ".tmp-30000").write_bytes(records.text(78))
    assert records.read(str(folder)) == {20_000: 77}
    assert records.read(str(folder / "no-such")) == {}


def test_a_moment_that_is_over_has_come_and_none_never_does() -> None:
    timer = Timer()
    for moment, ready in (
        (5, True),
        (None, False),
        (boottime_ms() + 10**6, False),
        (boottime_ms() - 1, True),
    ):
        timer.set(moment)
        assert bool(select.select([timer.fd], [], [], 0)[0]) == ready
    timer.close()


def test_what_is_gone_meanwhile_is_no_error(tmp_path: Path) -> None:
    killing.kill(str(tmp_path / "gone"))
    assert not killing.alive(str(tmp_path / "gone"))
    assert killing.slices((str(tmp_path),)) == {}


def test_it_loads_little() -> None:
    code = "import sys, skerry_agent.fence.run; print('\\n'.join(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = set(said.split())
    assert {"asyncio", "msgspec", "logging", "typing", "dataclasses", "pathlib", "pystemd"} & loaded == set()


def test_where_it_cannot_begin_it_says_so() -> None:
    if os.path.isdir(records.FOLDER):  # noqa: PTH112
        pytest.skip("a node's fence may be at work here")
    done = subprocess.run(
        [sys.executable, "-m", "skerry_agent.cli", "fence"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "cannot guard leases" in done.stderr
