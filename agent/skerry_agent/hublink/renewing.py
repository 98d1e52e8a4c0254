"""New credentials for a node that NATS does not let in any more, from its hub over pinned HTTPS, by the machine's key.

Owns when to ask and what the hub said. NATS refuses for one of two reasons: the hub changed its account's signing key
while this node was away (then a renewal helps), or somebody removed the node (then the hub says so, and `status` shows
it). Where nothing answers, the hub may not know this node's tunnel any more: a renewal tells it of that, and gives the
way to it anew. A hub that was lost and rebuilt knows no node: it is shown what this one holds, which proves that it was
a member.
No unit notices any of this. Must never make a new key: that is joining anew, by an admin's hand.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from skerry_protocol.codec import WireError, decode, encode
from skerry_protocol.ids import NodeId
from skerry_protocol.messages import FEATURES, JoinReply, NetworkKeys, Renewal, Returning
from skerry_protocol.network import Network
from skerry_protocol.signing import NETWORK, RENEW, RETURN, fetch_words, public_key, sign

from ..disk.disk import DiskError
from ..joining.identity import Identity, save
from .https import HttpsError, Met, PinnedHttps, Reply

log = logging.getLogger(__name__)

LEAST_S = 30.0
MOST_S = 3_600.0
AWAY_S = 300.0  # at most, while no hub answers: the one that comes back may be another
REPLY_MAX = 256 << 10
HTTP_OK = 200
SHOW = 428  # the hub was rebuilt: it wants to see what this node holds
MSGPACK = {"Content-Type": "application/msgpack"}
Held = Callable[[], bytes | None]


class Removed(Struct, frozen=True):
    """The hub does not renew: its reason, for people."""

    text: str


class Renewed(Struct, frozen=True):
    """Who the node is from now on, and its way to the hub, where the hub has one."""

    identity: Identity
    network: Network | None = None


class _Refusal(Struct, frozen=True):
    """The hub's words for a refusal."""

    error: str = ""
    then: str = ""


def renew(
    identity: Identity, key: bytes, state: Path, held: Held, network: tuple[bytes, bytes] | None = None
) -> Renewed | Removed:
    """Who the node is from now on, or the hub's refusal. Blocking. Raises HttpsError where no hub answers.

    `held`: the accepted assignment as it came, for a hub that was rebuilt. `network`: the public network keys that the
    hub is to know; without, those that are in `state`.
    """
    network = network or _network_keys(state)
    met = PinnedHttps(identity.hubs, identity.pin, identity.word.serial).introduce()
    hub = PinnedHttps((met.hub,), identity.pin, met.delegation.serial)
    asked = _renewal(key, identity.node, met.delegation.tls_key, network)
    answer = hub.request("POST", "/renew", encode(asked), MSGPACK, limit=REPLY_MAX)
    if answer.status == SHOW and (envelope := held()) is not None:
        answer = _show(hub, met, key, envelope, network)
    if answer.status != HTTP_OK:
        return Removed(_words(answer.body))
    try:
        reply = decode(JoinReply, answer.body, limit=REPLY_MAX)
        return Renewed(_renewed(identity, met, reply), reply.network)
    except WireError as error:
        raise HttpsError(f"{met.hub}: its answer cannot be read: {error}") from error


def _network_keys(state: Path) -> tuple[bytes, bytes] | None:
    """None where there are none, and none can be made: the credentials are worth more."""
    from ..network.keys import public_keys  # noqa: PLC0415 - seldom

    try:
        return public_keys(state)
    except DiskError as error:
        log.warning("cannot make network keys: %s", error)
        return None


def _renewal(key: bytes, node: NodeId, tls_key: bytes, network: tuple[bytes, bytes] | None) -> Renewal:
    proof = sign(key, RENEW, fetch_words(node, tls_key))
    keys = None if network is None else sign(key, NETWORK, encode(NetworkKeys(node, tls_key, *network)))
    return Renewal(proof.payload, proof.signature, keys)


def _show(
    hub: PinnedHttps, met: Met, key: bytes, envelope: bytes, network: tuple[bytes, bytes] | None
) -> Reply:
    from ..joining.machine import this_machine  # noqa: PLC0415 - once in the life of a mesh, if ever

    mine = this_machine()
    word = Returning(
        public_key(key), met.delegation.tls_key, envelope, mine.hostname, mine.arch, mine.memory_bytes,
        mine.cpu_milli, FEATURES, mine.mark, *(network or (None, None)),
    )  # fmt: skip
    return hub.request("POST", "/return", encode(sign(key, RETURN, encode(word))), MSGPACK, limit=REPLY_MAX)


def _renewed(identity: Identity, met: Met, reply: JoinReply) -> Identity:
    if reply.node != identity.node or not reply.credentials:
        raise HttpsError(f"{met.hub}: it answers without credentials for this node")
    # Also by which it answered: what it says of itself may be wrong, and there is no other way to hear that mended.
    hubs = tuple(dict.fromkeys((*(reply.hubs or identity.hubs), met.hub)))
    return msgspec.structs.replace(
        identity, delegation=encode(met.signed), credentials=reply.credentials, nats=reply.nats or identity.nats,
        hubs=hubs, tls_certificate=reply.tls_certificate or identity.tls_certificate,
    )  # fmt: skip


def _words(body: bytes) -> str:
    try:
        said = msgspec.json.decode(body, type=_Refusal)
    except (msgspec.MsgspecError, ValueError):
        return "the hub gives no reason that can be read"
    return f"{said.error} ({said.then})" if said.then else said.error


class Renewing:
    """See the module. `identity` is who the node is now; `trouble` is what the hub said against it, if anything."""

    def __init__(
        self, identity: Identity, key: bytes, state: Path, renewed: Callable[[Renewed], None], held: Held,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.identity = identity
        self.trouble: str | None = None
        self._key = key
        self._state = state
        self._renewed = renewed
        self._held = held
        self._clock = clock
        self._next = 0.0
        self._pause = LEAST_S
        self._jitter = random.SystemRandom()

    async def shut_out(self) -> None:
        """NATS does not let this node in, or does not answer. Asks the hub, unless it was asked a while ago only."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + self._jitter.uniform(self._pause / 2, self._pause)
        self._pause = min(MOST_S, 2 * self._pause)
        try:
            found = await asyncio.to_thread(renew, self.identity, self._key, self._state, self._held)
        except HttpsError as error:
            log.info("cannot renew the credentials: %s", error)
            self._pause = min(self._pause, AWAY_S)
            return
        if isinstance(found, Removed):
            self.trouble = f"this node is not let in: {found.text}"
            log.warning("%s; what runs here goes on", self.trouble)
            return
        await self._take(found)

    async def _take(self, found: Renewed) -> None:
        """What could not be kept is used all the same, and asked for again after a restart."""
        self.identity, self.trouble = found.identity, None
        try:
            await asyncio.to_thread(save, self._state, found.identity)
        except DiskError as error:
            log.warning("cannot keep the renewed credentials: %s", error)
        self._renewed(found)

    def let_in(self) -> None:
        """NATS let this node in."""
        self.trouble, self._pause, self._next = None, LEAST_S, 0.0
