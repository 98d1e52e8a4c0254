"""What an app says of the network, in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.loops.networds import changed, summary
from skerry_protocol.ids import AppName
from skerry_protocol.network import AppNetwork, Port, Transport

NAMES = st.sampled_from(["a", "b", "c"])
SAID = st.builds(
    AppNetwork,
    st.dictionaries(NAMES, st.builds(Port, st.integers(1, 3), st.sampled_from(Transport)), max_size=3),
    st.lists(NAMES.map(AppName), max_size=3, unique=True).map(tuple),
    st.dictionaries(NAMES, st.integers(1, 3), max_size=3),
    st.booleans(),
)


@pytest.mark.parametrize(
    ("network", "line"),
    [
        (AppNetwork(), ""),
        (AppNetwork({"http": Port(8080)}), "ports http 8080/tcp"),
        (
            AppNetwork(
                {"http": Port(8080), "dns": Port(53, Transport.UDP)}, (AppName("db"),), {"http": 80}, False
            ),
            "ports dns 53/udp, http 8080/tcp (port 80 of its nodes); reaches db; stays inside the mesh",
        ),
    ],
)
def test_in_one_line(network: AppNetwork, line: str) -> None:
    assert summary(network) == line


@given(SAID, SAID)
def test_a_change_is_said_where_there_is_one_and_nowhere_else(old: AppNetwork, new: AppNetwork) -> None:
    same = (old.ports, old.publish, set(old.reaches), old.egress) == (
        new.ports,
        new.publish,
        set(new.reaches),
        new.egress,
    )
    words = list(changed(old, new))
    assert bool(words) != same
    assert len(words) == len(list(changed(new, old)))
