"""Copies on their node's own network: at the node's address, for those that reach them and nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.network.rig import (
    ALONE,
    DB,
    NEVER,
    OTHER,
    SQL,
    WEB,
    Machines,
    mesh,
    region,
    set_up,
    talk,
)
from tests.netplan.regions import copy

HOST_DB, HOST_DB_HERE, HOST_WEB = copy("db", 1, 2, True), copy("db", 2, 1, True), copy("web", 2, 1, True)


@pytest.fixture
def machines() -> Iterator[Machines]:
    with mesh() as made:
        yield made


def test_it_is_heard_at_its_nodes_address_by_what_reaches_it(machines: Machines) -> None:
    set_up(machines, region(WEB, HOST_DB, ALONE))
    assert talk(machines, WEB, HOST_DB, SQL)
    assert not talk(machines, WEB, HOST_DB, OTHER, NEVER)
    assert not talk(machines, ALONE, HOST_DB, SQL, NEVER)


def test_instances_of_its_own_machine_reach_it_by_the_same_rule(machines: Machines) -> None:
    set_up(machines, region(WEB, HOST_DB_HERE, ALONE))
    assert talk(machines, WEB, HOST_DB_HERE, SQL)
    assert not talk(machines, ALONE, HOST_DB_HERE, SQL, NEVER)


def test_it_reaches_others_by_its_nodes_address(machines: Machines) -> None:
    set_up(machines, region(HOST_WEB, DB, ALONE))
    assert talk(machines, HOST_WEB, DB, SQL)
    assert not talk(machines, HOST_WEB, DB, OTHER, NEVER)
