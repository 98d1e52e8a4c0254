"""An instance in its real sandbox: checks see and may what it does, its journal is read, boot restores it."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry_hub.lab import Lab
from tests.agent.edges_rehearsal import CHECKS, SERVICE

from .conftest import STAND_IN

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def node() -> Iterator[Lab]:
    with Lab(f"edges-{os.getpid()}") as lab:
        lab.up(2, hub_argv=STAND_IN, tied=True)
        yield lab


@pytest.fixture(scope="module", params=["alone", "networked"])
def found(node: Lab, request: pytest.FixtureRequest) -> dict[str, str | list[str]]:
    """`alone`: with a loopback and nothing else; `networked`: in the namespace that skerry-net makes."""
    argv = [
        "env",
        "-C",
        str(ROOT),
        "PYTHONDONTWRITEBYTECODE=1",
        sys.executable,
        "-m",
        "tests.agent.edges_rehearsal",
        request.param,
    ]
    name = "n1" if request.param == "alone" else "n2"
    read = json.loads(node.run(name, argv, timeout=120).stdout)
    assert isinstance(read, dict)
    return read


BAD = {
    "http-missing": "answered 404",
    "tcp-closed": "port 8081: Connection refused",
    "exec-may-not-write-elsewhere": "exit status",
    "exec-fails": "exit status 3",
    "exec-hangs": "no answer within 300 ms",
}


@pytest.mark.parametrize("name", CHECKS)
def test_check(name: str, found: dict[str, str | list[str]]) -> None:
    if name in BAD:
        assert BAD[name] in found[name]
    else:
        assert found[name] == "ok"


def test_a_network_of_the_mesh_is_the_one_that_was_made_for_it(found: dict[str, str | list[str]]) -> None:
    """With the resolver's file in the place of the machine's; else an empty one of its own."""
    assert str(found["namespace"]).startswith("net:")
    assert found["made"] in {"", found["namespace"]}
    assert found["resolver"] == found["told"]
    assert bool(found["told"]) == bool(found["made"])


def test_no_failed_check_is_left_behind(found: dict[str, str | list[str]]) -> None:
    assert found["left"] == []


def test_the_journal_is_read_and_followed(found: dict[str, str | list[str]]) -> None:
    assert "serving" in found["journal"]
    assert found["follow"]


def test_restore_wrote_and_started_it(found: dict[str, str | list[str]]) -> None:
    assert found["restored"] == [SERVICE]
    assert found["problems"] == []
