"""Joins this machine to a mesh by a token, or says in one line why not.

Order: read the token, make or read the machine's key, let a hub prove itself, send the request, keep the answer. The
same machine may join again with the same key at any time; a join that was interrupted is made good by another. Nothing
here looks at this machine's clock: expiry is the hub's business, by the hub's clock. Not imported by the running agent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from skerry_protocol.codec import WireError, decode, encode
from skerry_protocol.ids import NAME_EXPECTED, NodeName, is_name, node_id
from skerry_protocol.jointoken import BadToken, JoinToken, parse_token
from skerry_protocol.messages import FEATURES, JoinReply, JoinRequest
from skerry_protocol.signing import JOIN, join_words, public_key, sign

from ..disk.disk import DiskError
from ..hublink.https import HttpsError, Met, PinnedHttps, WrongMesh
from ..network.keys import forget, public_keys
from ..network.telling import told, write_wanted
from ..network.wanted import first
from .identity import Identity, IdentityError, load, machine_key, save
from .machine import Machine, this_machine

POLL_S = 5.0
REPLY_MAX = 256 << 10
FORGOTTEN = 410
JOINED, WAITING = "joined", "waiting"


class JoinError(RuntimeError):
    """Begins with "cannot join", says the reason and what to do."""


class _Refusal(Struct, frozen=True):
    """The hub's words for a refusal."""

    error: str = ""
    then: str = ""


def join(
    token_text: str,
    state_dir: Path,
    name: str | None = None,
    labels: Mapping[str, str] | None = None,
    *,
    machine: Machine | None = None,
    say: Callable[[str], None] = lambda _text: None,
    pause: Callable[[float], None] = time.sleep,
) -> Identity:
    """Makes this machine a node and keeps who it is under `state_dir`. Waits, by asking again, for an approval.

    `say` gets a line when there is something to wait for. Raises JoinError.
    """
    token = parse_token(token_text)
    if isinstance(token, BadToken):
        raise JoinError(f"cannot join: {token.reason}")
    if name is not None and not is_name(name):
        raise JoinError(f"cannot join as {name!r}: it is not {NAME_EXPECTED} (choose another --name)")
    try:
        return _join(token, state_dir, name, dict(labels or {}), machine or this_machine(), say, pause)
    except WrongMesh as error:
        raise JoinError(
            f"cannot join: {error} (the token belongs to another mesh, or another machine answers there: "
            "make a token on the hub that you mean)"
        ) from error
    except HttpsError as error:
        raise JoinError(
            f"cannot join: no hub of the token could be reached: {error} (is the hub up, and its port open?)"
        ) from error
    except (DiskError, IdentityError) as error:
        raise JoinError(f"cannot join: {error}") from error


def _join(
    token: JoinToken, state: Path, name: str | None, labels: dict[str, str], machine: Machine,
    say: Callable[[str], None], pause: Callable[[float], None],
) -> Identity:  # fmt: skip
    before = _usable(state)
    hub = PinnedHttps(token.hubs, token.pin)
    met = hub.introduce()
    if before is not None and before.mesh != met.delegation.mesh:
        raise JoinError(
            f"cannot join {met.delegation.mesh}: this machine is {before.name} of mesh {before.mesh} "
            f"(to change, stop its work and remove {state}/identity)"
        )
    key = machine_key(state)
    announced = False
    while True:
        reply = _ask(hub, _request(token, key, public_keys(state), name, labels, machine))
        if isinstance(
            reply, _Refusal
        ):  # forgotten for good under this key: the rule is a new key, a new node
            key = _another(state)
            reply = _ask(hub, _request(token, key, public_keys(state), name, labels, machine))
            if isinstance(reply, _Refusal):
                raise _refused(reply)
        if reply.state == JOINED:
            return _keep(state, key, token, met, reply)
        if not announced:
            say(
                f"{reply.name} waits for approval on the hub ({reply.text or 'an operator has to let it in'})"
            )
            announced = True
        pause(POLL_S)


def _usable(state: Path) -> Identity | None:
    """Who the machine was; one that is damaged is no reason not to join again, unless it is the key."""
    try:
        return load(state)
    except IdentityError:
        return None


def _another(state: Path) -> bytes:
    """Another node's keys: whoever else has a copy of this disk may go on as the former one."""
    forget(state)
    return machine_key(state, fresh=True)


def _request(
    token: JoinToken, key: bytes, network: tuple[bytes, bytes], name: str | None, labels: dict[str, str],
    machine: Machine,
) -> JoinRequest:  # fmt: skip
    public = public_key(key)
    proof = sign(key, JOIN, join_words(token.id, token.secret, public)).signature
    return JoinRequest(
        token=token.id, secret=token.secret, machine_key=public, proof=proof, hostname=machine.hostname,
        name=None if name is None else NodeName(name), arch=machine.arch, memory_bytes=machine.memory_bytes,
        cpu_milli=machine.cpu_milli, features=FEATURES, labels=labels, machine=machine.mark, link_key=network[0],
        direct_key=network[1],
    )  # fmt: skip


def _ask(hub: PinnedHttps, request: JoinRequest) -> JoinReply | _Refusal:
    """The hub's answer; a refusal only where this key was forgotten. Raises JoinError for every other refusal."""
    headers = {"Content-Type": "application/msgpack"}
    answer = hub.request("POST", "/join", encode(request), headers, limit=REPLY_MAX)
    if answer.status != 200:
        refusal = _refusal(answer.body)
        if answer.status == FORGOTTEN:
            return refusal
        raise _refused(refusal)
    try:
        reply = decode(JoinReply, answer.body, limit=REPLY_MAX)
    except WireError as error:
        raise JoinError(f"cannot join: {answer.hub} gives an answer that cannot be read: {error}") from error
    expected = node_id(request.machine_key)
    if reply.node != expected or reply.state not in {JOINED, WAITING}:
        raise JoinError(
            f"cannot join: {answer.hub} answers for another machine or in another way: {reply.state!r}"
        )
    return reply


def _refusal(body: bytes) -> _Refusal:
    try:
        return msgspec.json.decode(body, type=_Refusal)
    except (msgspec.MsgspecError, ValueError):
        return _Refusal("the hub gives no reason that can be read")


def _refused(refusal: _Refusal) -> JoinError:
    text = refusal.error if refusal.error.startswith("cannot join") else f"cannot join: {refusal.error}"
    return JoinError(text + (f" ({refusal.then})" if refusal.then and refusal.then not in text else ""))


def _keep(state: Path, key: bytes, token: JoinToken, met: Met, reply: JoinReply) -> Identity:
    if not reply.credentials or not reply.nats:
        raise JoinError("cannot join: the hub let this machine in but gave no credentials (ask its operator)")
    found = Identity(
        node=node_id(public_key(key)), name=reply.name, mesh=met.delegation.mesh, region=met.delegation.region,
        pin=token.pin, delegation=encode(met.signed), hubs=reply.hubs or token.hubs, nats=reply.nats,
        credentials=reply.credentials, tls_certificate=reply.tls_certificate,
    )  # fmt: skip
    if reply.network is not None:
        write_wanted(state, first(reply.network, reply.name, told(state)))
    save(state, found)
    return found
