"""Joining over real HTTPS: exactly as many as the token lets in, the same machine once, and nothing for the hostile."""

from __future__ import annotations

import asyncio
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skerry_protocol import signing
from skerry_protocol.codec import decode, encode

from ..hubs import Desk, Machine, serving, token_of


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with serving(tmp_path / "hub") as opened:
        yield opened


# A hundred machines over TLS: seconds.
async def test_a_hundred_with_a_token_of_ten(desk: Desk) -> None:
    token = await token_of(desk, reusable=True, limit=10)
    machines = [Machine(desk, f"box{number}") for number in range(100)]
    answers = await asyncio.gather(*(one.join(desk.client, token) for one in machines))
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [403] * 90
    assert len((await desk.client.get("/api/nodes")).json()) == 10
    (shown,) = (await desk.client.get("/api/tokens")).json()
    assert (shown["uses"], shown["state"], len(shown["used_by"])) == (10, "used up", 10)
    again = await asyncio.gather(
        *(
            one.join(desk.client, token)
            for one, first in zip(machines, answers, strict=True)
            if first.is_success
        )
    )
    assert [answer.status_code for answer in again] == [200] * 10


async def test_approval(desk: Desk) -> None:
    token, machine = await token_of(desk, approval=True, labels={"site": "pier"}), Machine(desk)
    await machine.join(desk.client, token)
    assert machine.reply is not None
    assert (machine.reply.state, machine.reply.credentials) == ("waiting", "")
    assert (await desk.post("/api/nodes/box/approve", {})).json()["state"] == "ready"
    await machine.join(desk.client, token)
    assert machine.reply.state == "joined"
    assert machine.reply.credentials
    assert (await desk.client.get("/api/nodes/box")).json()["labels"] == {"site": "pier"}


async def test_anothers_name_and_anothers_key(desk: Desk) -> None:
    token = await token_of(desk, reusable=True)
    assert (await Machine(desk).join(desk.client, token)).status_code == 200
    second = await Machine(desk).join(desk.client, token, "box")
    assert (second.status_code, second.json()["error"]) == (
        409,
        "cannot join as box: another machine has that name",
    )
    thief, owner = Machine(desk), Machine(desk)
    stolen = msgspec.structs.replace(thief.request(token), machine_key=owner.public)
    answer = await desk.client.post("/join", content=encode(stolen))
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "cannot join: the machine key did not sign this request",
    )


async def test_a_revoked_token(desk: Desk) -> None:
    token = await token_of(desk, reusable=True)
    first = Machine(desk, "one")
    await first.join(desk.client, token)
    (shown,) = (await desk.client.get("/api/tokens")).json()
    assert (await desk.client.delete(f"/api/tokens/{shown['id']}")).json()["state"] == "revoked"
    refused = await Machine(desk, "two").join(desk.client, token)
    assert refused.json()["error"].startswith("cannot join north: the token was revoked")
    assert (await first.join(desk.client, token)).status_code == 200


async def test_a_wrong_secret_learns_nothing(desk: Desk) -> None:
    machine, token = Machine(desk), await token_of(desk)
    good = machine.request(token)
    answers = []
    for name, secret in ((good.token, "a" * 36), ("aaaaaaaa", good.secret)):
        words = signing.join_words(name, secret, machine.public)
        proof = signing.sign(machine.key, signing.JOIN, words).signature
        asked = msgspec.structs.replace(good, token=name, secret=secret, proof=proof)
        answers.append(await desk.client.post("/join", content=encode(asked)))
    assert {answer.status_code for answer in answers} == {403}
    assert answers[0].json() == answers[1].json()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_fuzz(desk: Desk, data: st.DataObject) -> None:
    good = encode(Machine(desk).request("skerry-join-" + TOKEN))
    at = data.draw(st.integers(0, len(good)))
    body = data.draw(
        st.one_of(
            st.binary(max_size=200),
            st.binary(min_size=1, max_size=4).map(lambda b: good[:at] + b + good[at + 1 :]),
        )
    )
    for path in ("/join", "/renew"):
        answer = await desk.client.post(path, content=body)
        assert 400 <= answer.status_code < 500, answer.text
    assert (await desk.client.get("/api/nodes")).json() == []


def _token() -> str:
    from skerry_protocol.jointoken import format_token  # noqa: PLC0415 - once

    return format_token("abcdefgh", bytes(20), "0" * 64, ("h:1",))[0].removeprefix("skerry-join-")


TOKEN = _token()


async def test_the_delegation_covers_the_tls_key(desk: Desk) -> None:
    async with desk.as_person(None) as nobody:
        signed = decode(signing.Signed, (await nobody.get("/join/delegation")).content)
    word = signing.open_delegation(signed, desk.hub.identity.pin)
    assert word.tls_key == desk.hub.identity.tls_pin


async def test_renewing(desk: Desk) -> None:
    machine = Machine(desk)
    await machine.join(desk.client, await token_of(desk))
    word = f"{machine.id}.{desk.hub.identity.tls_pin.hex()}".encode()
    good = await desk.client.post("/renew", content=encode(signing.sign(machine.key, signing.RENEW, word)))
    assert good.status_code == 200
    bad = await desk.client.post(
        "/renew", content=encode(signing.sign(signing.new_key(), signing.RENEW, word))
    )
    assert bad.status_code == 403


def archive() -> bytes:
    """A small archive."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        entry = tarfile.TarInfo("serve")
        entry.size = 5_000
        tar.addfile(entry, io.BytesIO(bytes(5_000)))
    return made.getvalue()


async def test_artifacts(desk: Desk) -> None:
    content = archive()
    name = hashlib.sha256(content).hexdigest()
    assert (await desk.client.head(f"/api/artifacts/{name}")).status_code == 404
    assert (await desk.client.put(f"/api/artifacts/{'0' * 64}", content=content)).status_code == 400
    assert (await desk.client.put(f"/api/artifacts/{name}", content=content)).json()["size"] == len(content)
    assert (await desk.client.head(f"/api/artifacts/{name}")).status_code == 200
    machine = Machine(desk)
    await machine.join(desk.client, await token_of(desk))
    whole = await desk.client.get(f"/artifacts/{name}", headers=machine.header())
    assert whole.content == content
    rest = await desk.client.get(f"/artifacts/{name}", headers={**machine.header(), "Range": "bytes=10-"})
    assert (rest.status_code, rest.content) == (206, content[10:])
    past = await desk.client.get(f"/artifacts/{name}", headers={**machine.header(), "Range": "bytes=99999-"})
    assert past.status_code == 416
    async with desk.as_person(None) as nobody:
        assert (await nobody.get(f"/artifacts/{name}")).status_code == 401
        stranger = Machine(desk)
        assert (await nobody.get(f"/artifacts/{name}", headers=stranger.header())).status_code == 403
