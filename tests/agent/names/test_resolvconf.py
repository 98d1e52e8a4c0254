"""What instances read instead of the machine's resolv.conf."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry_agent.names import resolvconf, upstream

MACHINES = """
nameserver 192.0.2.1
search a.example b.example
options edns0 timeout:1
options edns0 rotate
"""
MADE = "# Made by Skerry: names of the mesh, and all others.\nnameserver fd00::1\n"


def test_names_are_asked_for_at_the_node_and_looked_for_as_the_machine_does() -> None:
    assert resolvconf.text("fd00::1", "") == MADE
    searched = resolvconf.text("fd00::1", MACHINES)
    assert searched == f"{MADE}search a.example b.example\noptions edns0 timeout:1 rotate\n"
    assert upstream.servers(searched, ()) == ("fd00::1",)


@pytest.mark.parametrize("before", ["", "short", "very long " * 100])
def test_the_file_that_a_unit_has_in_the_place_of_its_own_says_the_new(tmp_path: Path, before: str) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(before)
    path.chmod(0o600)
    with path.open() as bound:
        resolvconf.write(path, MADE)
        assert bound.read() == MADE
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_machines_own_is_read_anew_once_it_is_another(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    machines = upstream.Machines(path)
    assert machines.text() == ""
    path.write_text(MACHINES)
    assert machines.text() == MACHINES
    (tmp_path / "new").write_text(MADE)
    (tmp_path / "new").rename(path)
    assert machines.text() == MADE
    path.unlink()
    assert machines.text() == ""
