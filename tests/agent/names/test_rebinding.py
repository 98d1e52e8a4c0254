"""Who is given its resolv.conf again, and when; a command in the place of systemctl writes down what it was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry_agent.names.rebinding import Rebinding
from skerry_protocol.ids import InstanceId

WEB, DB = InstanceId("web-1-abcdefghij"), InstanceId("db-0-abcdefghij")
BOTH = (WEB, DB)


class Machine:
    """`down`, `refuses`: units of which systemctl says so."""

    def __init__(self, folder: Path) -> None:
        self.file, self.own = folder / "resolv.conf", folder / "run/resolv.conf"
        self.log, self.command = folder / "log", folder / "systemctl"
        self.own.parent.mkdir()
        self.replaced("first")
        self.does()
        self.begins()

    def begins(self) -> None:
        """skerry-net."""
        self.rebinding = Rebinding(self.own, self.file, str(self.command))

    def does(self, down: str = "none", refuses: str = "none") -> None:
        text = f"""#!/bin/sh
echo "$@" >> {self.log}
verb=$1; shift
if [ $verb = is-active ]; then
    for unit; do [ $unit = {down} ] && echo inactive || echo active; done
    exit 3
fi
[ $2 != {refuses} ] || {{ echo "it has no namespace"; exit 1; }}
"""
        self.command.write_text(text)
        self.command.chmod(0o755)

    def replaced(self, text: str) -> None:
        new = self.file.with_name("new")
        new.write_text(text)
        new.rename(self.file)

    def bound(self) -> list[str]:
        """The units, since it was asked last."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        binds = [line.split() for line in lines if line.startswith("bind ")]
        assert all(words[1] == "--read-only" for words in binds)
        assert all(words[3:] == [str(self.own), str(self.file)] for words in binds)
        return [words[2] for words in binds]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def test_all_that_run_are_given_theirs_once_for_each_file(machine: Machine) -> None:
    assert await machine.rebinding.look(BOTH) == ""
    assert machine.bound() == [], "what runs when it is first seen has been started with it"
    machine.replaced("second")
    for expected in (["skerry-web-1.service", "skerry-db-0.service"], []):
        assert await machine.rebinding.look(BOTH) == ""
        assert machine.bound() == expected
        machine.begins()


async def test_what_is_written_into_the_file_that_is_there_takes_no_mount_away(machine: Machine) -> None:
    await machine.rebinding.look(BOTH)
    machine.file.write_text("second")
    await machine.rebinding.look(BOTH)
    assert machine.bound() == []


async def test_one_that_does_not_run_gets_it_when_it_starts(machine: Machine) -> None:
    await machine.rebinding.look(BOTH)
    machine.does(down="skerry-db-0.service")
    machine.replaced("second")
    assert await machine.rebinding.look(BOTH) == ""
    assert machine.bound() == ["skerry-web-1.service"]


async def test_what_is_refused_is_said_and_tried_again_for_that_one_alone(machine: Machine) -> None:
    await machine.rebinding.look(BOTH)
    machine.does(refuses="skerry-web-1.service")
    machine.replaced("second")
    for expected in (["skerry-web-1.service", "skerry-db-0.service"], ["skerry-web-1.service"]):
        said = await machine.rebinding.look(BOTH)
        assert said == "cannot give skerry-web-1.service its resolv.conf again: it has no namespace"
        assert machine.bound() == expected
    machine.does()
    assert await machine.rebinding.look(BOTH) == ""
    assert machine.bound() == ["skerry-web-1.service"]


async def test_a_file_that_is_gone_and_comes_back_is_another(machine: Machine) -> None:
    await machine.rebinding.look((WEB,))
    machine.file.unlink()
    for _ in range(2):
        await machine.rebinding.look((WEB,))
    machine.replaced("second")
    await machine.rebinding.look((WEB,))
    assert machine.bound().count("skerry-web-1.service") >= 1


async def test_without_systemctl_it_is_said(machine: Machine) -> None:
    await machine.rebinding.look(BOTH)
    machine.replaced("second")
    machine.command.unlink()
    assert "cannot see whether" in await machine.rebinding.look(BOTH)
