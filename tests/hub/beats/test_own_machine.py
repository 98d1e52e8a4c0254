"""The storm brake of a small region does not ask the hub's own machine, which answers also where the hub is cut off."""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.joining.machine import this_machine
from skerry_hub.beats.terms import terms_of
from skerry_hub.hub import own_mark
from skerry_protocol.codec import encode
from skerry_protocol.ids import NodeId, machine_mark

from ..hubs import Desk, Machine, serving, token_of


async def joined(desk: Desk, hostname: str, mark: str) -> NodeId:
    machine = Machine(desk, hostname)
    asked = msgspec.structs.replace(machine.request(await token_of(desk)), machine=mark)
    answer = await desk.client.post("/join", content=encode(asked))
    assert answer.status_code == 200, answer.text
    return machine.id


async def test_the_node_beside_the_hub_is_known(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:
        beside = await joined(desk, "beside", own_mark())
        away = await joined(desk, "away", machine_mark("another"))
        unsaid = await joined(desk, "unsaid", "")
        outcome = await desk.hub.reconciler.once()
        async with desk.hub.store.read() as view:
            state = await desk.hub.reconciler.load(view)
        terms = terms_of(state, outcome, own_mark())
        assert {node: one.own_machine for node, one in terms.items()} == {
            beside: bool(own_mark()),
            away: False,
            unsaid: False,
        }
        assert not any(one.own_machine for one in terms_of(state, outcome).values())


def test_hub_and_agent_mark_a_machine_alike(tmp_path: Path) -> None:
    assert this_machine().mark == own_mark()
    assert own_mark(tmp_path / "missing") == ""
    (tmp_path / "empty").write_text("\n")
    assert own_mark(tmp_path / "empty") == ""


@given(st.text(max_size=40))
def test_a_mark_does_not_show_the_id(text: str) -> None:
    mark = machine_mark(text)
    assert machine_mark(f" {text}\n") == mark
    assert len(mark) in {0, 32}
    assert len(text.strip()) < 8 or text.strip() not in mark
