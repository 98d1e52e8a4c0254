"""What systemd-resolved is told, and when; a command in the place of resolvectl writes down what it was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry_agent.names.resolved import SOCKET, Resolved

LINK, ADDRESS = "skerry", "fd00::1"
WORDS = [f"dns {LINK} {ADDRESS}", f"domain {LINK} ~skerry"]


class Machine:
    def __init__(self, folder: Path) -> None:
        self.socket, self.log, self.command = folder / SOCKET, folder / "log", folder / "resolvectl"
        self.does("exit 0")
        self.resolved = Resolved(folder, str(self.command))

    def does(self, what: str) -> None:
        self.command.write_text(f'#!/bin/sh\necho "$@" >> {self.log}\n{what}\n')
        self.command.chmod(0o755)

    def asked(self) -> list[str]:
        found = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return found

    def begins(self) -> None:
        """Its socket is a new one."""
        self.socket.unlink(missing_ok=True)
        (self.socket.parent / f"other{len(list(self.socket.parent.iterdir()))}").touch()
        self.socket.touch()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def test_where_it_does_not_run_nothing_is_told(machine: Machine) -> None:
    assert await machine.resolved.tell(LINK, 7, ADDRESS) == ""
    assert machine.asked() == []


async def test_it_is_told_once_and_again_when_the_interface_the_address_or_it_is_new(
    machine: Machine,
) -> None:
    machine.begins()
    for index, address, times in ((7, ADDRESS, 1), (7, ADDRESS, 0), (8, ADDRESS, 1)):
        assert await machine.resolved.tell(LINK, index, address) == ""
        assert machine.asked() == WORDS * times
    machine.begins()
    assert await machine.resolved.tell(LINK, 8, ADDRESS) == ""
    assert machine.asked() == WORDS
    assert await machine.resolved.tell(LINK, 8, "fd00::2") == ""
    assert machine.asked() == [f"dns {LINK} fd00::2", WORDS[1]]


async def test_what_it_refuses_is_said_and_told_again(machine: Machine) -> None:
    machine.begins()
    machine.does("echo 'Access denied' >&2; exit 1")
    assert await machine.resolved.tell(LINK, 7, ADDRESS) == (
        "cannot have systemd-resolved ask for names of the mesh: Access denied"
    )
    machine.does("exit 0")
    machine.asked()
    assert await machine.resolved.tell(LINK, 7, ADDRESS) == ""
    assert machine.asked() == WORDS


async def test_without_resolvectl_that_is_said(tmp_path: Path) -> None:
    (tmp_path / SOCKET).touch()
    trouble = await Resolved(tmp_path, str(tmp_path / "none")).tell(LINK, 7, ADDRESS)
    assert trouble.endswith("none: No such file or directory")
