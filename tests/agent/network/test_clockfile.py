"""A clock that went back while the machine was off is put to what it had been, once in a boot."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.network.clock import put_to, to_keep
from skerry_agent.network.clockfile import ClockFile
from skerry_agent.network.records import CLOCK

MOMENTS = st.floats(0, 1e11)
THEN = 1_800_000_000.0


class Machine:
    """`boots` forgets what is under /run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now, self.boot, self.refuses, self.right = folder, THEN, 0, False, False
        self.boots()

    def boots(self, now: float = THEN) -> str:
        self.now, self.boot = now, self.boot + 1
        return self.begins()

    def begins(self) -> str:
        """skerry-net starts."""
        state, run = self.folder / "state", self.folder / f"run{self.boot}"
        self.file = ClockFile(state, run, lambda: self.now, self.put, lambda: self.right)
        return self.file.begin()

    def put(self, to: float) -> None:
        if self.refuses:
            raise PermissionError(errno.EPERM, "not here")
        self.now = to


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_machine_without_a_clock_battery_goes_on_where_it_was(machine: Machine) -> None:
    machine.file.keep()
    assert machine.boots(0.0) == "the clock was 1800000000 s behind what it had been, and was put to that"
    assert machine.now == THEN


def test_a_clock_that_is_right_is_left_alone(machine: Machine) -> None:
    machine.file.keep()
    assert machine.boots(THEN + 1) == ""
    assert machine.now == THEN + 1


def test_whoever_sets_it_back_while_the_machine_is_on_is_not_gainsaid(machine: Machine) -> None:
    machine.file.keep()
    machine.boots(THEN + 10)
    machine.now = THEN - 1000
    machine.file.keep()
    assert machine.begins() == ""
    assert machine.now == THEN - 1000


def test_one_that_ran_ahead_once_is_not_put_ahead_for_ever(machine: Machine) -> None:
    machine.now = THEN + 1e9
    machine.file.keep()
    machine.now, machine.right = THEN, True
    machine.file.keep()
    machine.right = False
    assert machine.boots(THEN + 60) == ""
    assert machine.now == THEN + 60


def test_where_it_may_not_be_set_nothing_is(machine: Machine) -> None:
    machine.file.keep()
    machine.refuses = True
    assert machine.boots(0.0) == ""
    assert machine.now == 0


def test_a_file_that_cannot_be_read_says_nothing(machine: Machine) -> None:
    machine.file.keep()
    for name in (CLOCK, f"{CLOCK}.twin"):
        (machine.folder / "state" / name).write_bytes(b"rubbish")
    assert machine.boots(5.0) == ""
    machine.file.keep()
    machine.boots(0.0)
    assert machine.now == 5


@given(MOMENTS, MOMENTS)
def test_it_never_goes_back_unless_the_clock_is_right(saved: float, now: float) -> None:
    put, kept = put_to(saved, now), to_keep(saved, now)
    assert (put or now) == max(saved, now)
    assert kept is None or kept > saved
    assert put is None or put > now
    assert to_keep(saved, now, right=True) == (None if saved == now else now)
