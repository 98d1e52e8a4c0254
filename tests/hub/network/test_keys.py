"""A machine's network keys come with its join, or later with its own signed word; nobody can bring another's."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from skerry_hub.identity import IdentityError
from skerry_hub.model import NodeRow
from skerry_hub.network.keys import network_key, public_of
from skerry_hub.store import rows
from skerry_hub.store import schema as s
from skerry_protocol import signing
from skerry_protocol.codec import encode
from skerry_protocol.messages import NetworkKeys, Renewal

from ..hubs import Desk, Machine, serving, token_of


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with serving(tmp_path / "hub") as opened:
        yield opened


async def node(desk: Desk, name: str) -> NodeRow:
    async with desk.hub.store.read() as view:
        found = await rows.node(view, name)
    assert found is not None
    return found


def machine(desk: Desk, name: str) -> Machine:
    made = Machine(desk, name)
    made.network_keys = (os.urandom(32), os.urandom(32))
    return made


async def test_a_join_brings_the_keys_and_makes_a_number_and_again_changes_nothing(desk: Desk) -> None:
    token, box = await token_of(desk, reusable=True), machine(desk, "box")
    for _ in range(2):
        assert (await box.join(desk.client, token)).status_code == 200
    first = await node(desk, "box")
    assert (first.link_key, first.direct_key) == box.network_keys
    assert first.number > 0
    assert first.via == "127.0.0.1"
    box.network_keys = (os.urandom(32), os.urandom(32))
    assert (await box.join(desk.client, token)).status_code == 200
    second = await node(desk, "box")
    assert (second.link_key, second.direct_key, second.number) == (*box.network_keys, first.number)


async def test_a_machine_without_keys_joins_and_may_bring_them_later(desk: Desk) -> None:
    token, box = await token_of(desk), Machine(desk, "box")
    await box.join(desk.client, token)
    assert (await node(desk, "box")).link_key is None
    answer = await renew(desk, box, b"l" * 32, b"d" * 32)
    assert answer == (200, "")
    assert ((await node(desk, "box")).link_key, (await node(desk, "box")).number > 0) == (b"l" * 32, True)


@pytest.mark.parametrize("stolen", [0, 1])
async def test_anothers_key_is_refused_with_what_to_do(desk: Desk, stolen: int) -> None:
    token, first, second = await token_of(desk, reusable=True), machine(desk, "one"), machine(desk, "two")
    await first.join(desk.client, token)
    assert first.network_keys is not None
    second.network_keys = (os.urandom(32), first.network_keys[stolen])
    answer = await second.join(desk.client, token)
    assert answer.status_code == 409
    assert answer.json()["error"] == "cannot join as two: one has the same network key"
    assert "identity/link.key" in answer.json()["then"]
    same = machine(desk, "three")
    same.network_keys = (b"k" * 32, b"k" * 32)
    assert (await same.join(desk.client, token)).status_code == 409


async def renew(
    desk: Desk, box: Machine, link: bytes, direct: bytes, signer: bytes = b"", for_hub: bytes = b""
) -> tuple[int, str]:
    """(status, error) of a renewal with these keys."""
    pin = desk.hub.identity.tls_pin
    asked = signing.sign(box.key, signing.RENEW, signing.fetch_words(box.id, pin))
    word = NetworkKeys(box.id, for_hub or pin, link, direct)
    keys = signing.sign(signer or box.key, signing.NETWORK, encode(word))
    answer = await desk.client.post("/renew", content=encode(Renewal(asked.payload, asked.signature, keys)))
    return answer.status_code, "" if answer.is_success else answer.json()["error"]


async def test_that_two_have_one_key_is_said_of_both_and_not_each_time(desk: Desk) -> None:
    token, first, second = await token_of(desk, reusable=True), machine(desk, "one"), machine(desk, "two")
    for box in (first, second):
        await box.join(desk.client, token)
    assert first.network_keys is not None
    for _ in range(2):
        answer = await renew(desk, second, *first.network_keys)
        assert answer == (409, "cannot join as two: one has the same network key")
    for name in ("three", "four"):
        asks = machine(desk, name)
        asks.network_keys = first.network_keys
        assert (await asks.join(desk.client, token)).status_code == 409, (
            "and is not said at once for every name"
        )
    e = s.events.c
    async with desk.hub.store.read() as view:
        found = await view.rows(select(e.node, e.text).where(e.code == "same-key").order_by(e.id))
    text = "two was refused: one has the same network key, so that neither has tunnels that last"
    assert [tuple(row) for row in found] == [("one", text), ("two", text)]


async def test_keys_that_the_machine_did_not_sign_for_this_hub_change_nothing(desk: Desk) -> None:
    token, box = await token_of(desk, reusable=True), machine(desk, "box")
    await box.join(desk.client, token)
    before = await node(desk, "box")
    assert (await renew(desk, box, b"l" * 32, b"d" * 32, signer=signing.new_key()))[0] == 403
    assert (await renew(desk, box, b"l" * 32, b"d" * 32, for_hub=b"x" * 32))[0] == 403
    assert await node(desk, "box") == before
    other = machine(desk, "other")
    await other.join(desk.client, token)
    assert other.network_keys is not None
    assert (await renew(desk, box, other.network_keys[0], b"d" * 32))[0] == 409
    assert await node(desk, "box") == before


async def test_a_damaged_key_of_the_hubs_own_is_said_and_not_made_anew(tmp_path: Path) -> None:
    key = network_key(tmp_path)
    assert network_key(tmp_path) == key
    assert len(public_of(key)) == 32
    (tmp_path / "network.key").write_bytes(key[:31])
    with pytest.raises(IdentityError, match=r"cannot read .*network.key: it is no key"):
        network_key(tmp_path)
