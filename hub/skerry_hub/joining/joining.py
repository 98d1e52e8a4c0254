"""Joining: a token and a machine key in, a node out, in one transaction, so that uses are counted exactly.

The machine key is the identity: the same key joins again as the same node, and takes no second use. Whoever cannot
prove the secret learns nothing about the token.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import and_, or_, select

from skerry_protocol import signing
from skerry_protocol.ids import NodeId, NodeName, TokenId, is_name, node_id
from skerry_protocol.messages import JoinReply, JoinRequest, NetworkKeys

from ..appfile.texts import label_faults
from ..clock import now_ms
from ..journal import Happened, note
from ..loops.reading import NODES
from ..model import NodeRow, NodeState
from ..nats.auth import node_credentials
from ..network.region import number_for
from ..operators import set_node
from ..store import Owner, Transaction, View, rows
from ..store import schema as s
from .tokens import Refused, TokenRow, TokenUse, judge, secret_hash

if TYPE_CHECKING:
    from ..hub import Hub

FORGOTTEN = 410
ARCHES: Mapping[str, str] = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
SAME_KEY = "same-key"
SAID_AGAIN_MS, SAID_AT_ALL_MS = 24 * 3600 * 1000, 60 * 1000
"""The same of one node; and anything, since who has a token may ask under any name."""
TO_BE_MADE = "remove identity/link.key* and identity/direct.key* under /var/lib/skerry on one of the two"
TO_BE_CHANGED = "'skerry-agent rotate-keys' on one of the two makes new ones"
UNKNOWN = "the token is not known here (create one with 'skerry token create')"


class JoinRefused(Exception):
    """Why a machine was not let in, with the HTTP status and what to do."""

    def __init__(self, text: str, then: str = "", status: int = 403) -> None:
        super().__init__(text)
        self.then = then
        self.status = status


class KeyTaken(JoinRefused):
    """Its network key is that of another node: `has`, which keeps it."""

    def __init__(self, row: NodeRow, has: NodeName, then: str = "") -> None:
        super().__init__(
            f"cannot join as {row.name}: {has} has the same network key", then or TO_BE_MADE, 409
        )
        self.row, self.has = row, has


async def join(hub: Hub, asked: JoinRequest, host: str | None) -> JoinReply:
    """Lets the machine in, or raises JoinRefused. `host` is the name by which it reached this hub."""
    _check_proof(asked)
    node = node_id(asked.machine_key)
    # Hostile floods end here: no write lock is taken before the secret is proven.
    async with hub.store.read() as view:
        if not _secret_fits(await token(view, asked.token), asked.secret):
            raise JoinRefused(f"cannot join {hub.mesh.region}: {UNKNOWN}")
    async with said_to_both(hub), hub.store.write() as tx:
        row = await _joined(tx, hub, asked, node)
        row = await with_keys(tx, hub, row, asked.link_key, asked.direct_key, host)
    await hub.reconciler.caught_up()  # else its first beat finds a hub that does not know it
    return await reply(hub, row, host)


async def with_keys(
    tx: Transaction, hub: Hub, row: NodeRow, link: bytes | None, direct: bytes | None, host: str | None
) -> NodeRow:
    """The node with its network keys and its number. Raises JoinRefused where a key is another node's."""
    if link is None or direct is None:
        return row
    others = [one for one in await tx.whole(NODES) if one.id != row.id]
    keys = {link, direct}
    same = next((one.name for one in others if keys & {one.link_key, one.direct_key}), None)
    if same is not None:
        raise KeyTaken(row, same)
    if len(keys) < 2:
        text = f"cannot join as {row.name}: its other tunnel has the same network key"
        raise JoinRefused(text, TO_BE_MADE, 409)
    number = row.number or number_for(hub.mesh, hub.identity.root_public, row.id, others)
    after = msgspec.structs.replace(row, link_key=link, direct_key=direct, number=number, via=host or row.via)
    if after == row:
        return row
    return await set_node(tx, after, row.name, "given its network keys")


@asynccontextmanager
async def said_to_both(hub: Hub) -> AsyncIterator[None]:
    """Where a node's key is another's, both nodes' events say so, once in a while: who is refused asks again and again,
    and the other cannot know why its tunnels break.
    """
    try:
        yield
    except KeyTaken as taken:
        await _note_taken(hub, taken)
        raise


async def _note_taken(hub: Hub, taken: KeyTaken) -> None:
    text = f"{taken.row.name} was refused: {taken.has} has the same network key, so that neither has tunnels that last"
    e = s.events.c
    async with hub.store.write() as tx:
        now = now_ms()
        lately = or_(and_(e.text == text, e.at_ms > now - SAID_AGAIN_MS), e.at_ms > now - SAID_AT_ALL_MS)
        said = select(e.id).where(e.node == taken.has, e.code == SAME_KEY, lately).limit(1)
        if await tx.one(said) is None:
            names = (taken.has, taken.row.name)
            await note(tx.as_owner(Owner.OPERATORS), *(Happened(SAME_KEY, text, node=one) for one in names))


def _check_proof(asked: JoinRequest) -> None:
    words = signing.join_words(asked.token, asked.secret, asked.machine_key)
    try:
        signing.verify(asked.machine_key, signing.JOIN, signing.Signed(words, asked.proof))
    except signing.BadSignature as error:
        raise JoinRefused("cannot join: the machine key did not sign this request", status=400) from error


async def _joined(tx: Transaction, hub: Hub, asked: JoinRequest, node: NodeId) -> NodeRow:
    found = await token(tx, asked.token)
    if found is None or not _secret_fits(found, asked.secret):
        raise JoinRefused(f"cannot join {hub.mesh.region}: {UNKNOWN}")
    if (row := await rows.node(tx, node)) is not None and row.id == node:
        return row
    if await tx.one(select(s.forgotten.c.id).where(s.forgotten.c.id == node)):
        raise JoinRefused(
            "cannot join: this machine was forgotten under its key", "join with a new key", FORGOTTEN
        )
    uses = await token_uses(tx, found.id)
    name = asked.name or _from_hostname(asked.hostname)
    refused = judge(found, uses, name, now_ms(), hub.identity.region)
    if isinstance(refused, Refused):
        raise JoinRefused(f"cannot join {hub.mesh.region}: {refused.reason}", refused.then)
    await _check_name(tx, name)
    return await _make(tx, asked, found, node, name)


async def _make(tx: Transaction, asked: JoinRequest, by: TokenRow, node: NodeId, name: NodeName) -> NodeRow:
    """The node, its use of the token and its revision."""
    row = NodeRow(
        id=node,
        name=name,
        machine_key=asked.machine_key,
        labels={**_own_labels(asked.labels), **by.labels},
        arch=ARCHES.get(asked.arch, asked.arch[:40]),
        memory_bytes=max(0, min(asked.memory_bytes, 1 << 62)),
        cpu_milli=max(0, min(asked.cpu_milli, 1 << 40)),
        state=NodeState.WAITING if by.approval else NodeState.READY,
        ephemeral_ms=by.ephemeral_ms,
        joined_at_ms=now_ms(),
        machine=asked.machine[:64],
    )
    hand = tx.as_owner(Owner.OPERATORS)
    await hand.add(s.token_uses, [{"token": by.id, "node": node, "name": name, "at_ms": now_ms()}])
    what = "joined, waiting for approval" if by.approval else "joined"
    await note(hand, Happened("token-used", f"token {by.id} let {name} in", node=name, changer=by.made_by))
    return await set_node(tx, row, f"token {by.id}", what)


def _own_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """What the machine says of itself, where it is a label; the token's labels stand over these."""
    kept = sorted((key, value) for key, value in labels.items() if not label_faults({key: value}))
    return dict(kept[:20])


def _from_hostname(hostname: str) -> NodeName:
    """A node's name out of a hostname: the part before the first dot, with what no name has made a dash."""
    first = hostname.partition(".")[0].lower()
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in first)[:40].strip(
        "-"
    )
    return NodeName(plain if is_name(plain) else f"node-{plain}"[:40].rstrip("-"))


async def _check_name(view: View, name: NodeName) -> None:
    if not is_name(name):
        raise JoinRefused(f"cannot join as {name[:60]!r}: that is no name", "choose another --name", 400)
    row = await rows.node(view, name)
    if row is not None:
        raise JoinRefused(
            f"cannot join as {name}: another machine has that name",
            f"choose another --name, or let an operator forget {name}",
            409,
        )


async def reply(hub: Hub, row: NodeRow, host: str | None) -> JoinReply:
    """What a node is told of itself and the mesh; credentials only for one that is let in."""
    waiting = row.state is NodeState.WAITING
    hosts = hub.settings.advertise or ((host,) if host else ())
    network = await hub.first_plan(row)
    accounts = hub.nats.accounts
    credentials = "" if waiting else node_credentials(accounts, row.machine_key, hub.identity.region, row.id)
    return JoinReply(
        state="waiting" if waiting else "joined",
        node=row.id,
        name=row.name,
        mesh=hub.identity.mesh,
        region=hub.identity.region,
        text=f"an operator has to let it in: skerry node approve {row.name}" if waiting else "",
        nats=hub.nats.urls(hosts if network is None else (hub.inside,)),
        hubs=tuple(hub.address_on(one) for one in hosts),
        credentials=credentials,
        tls_certificate=hub.certificate,
        network=network,
    )


async def renewed(hub: Hub, row: NodeRow, host: str | None, keys: NetworkKeys | None = None) -> JoinReply:
    """Fresh credentials and addresses for a node that proved itself, whose network keys are kept, if it says any."""
    if keys is not None and (keys.link_key, keys.direct_key) != (row.link_key, row.direct_key):
        try:
            async with said_to_both(hub), hub.store.write() as tx:
                row = await with_keys(tx, hub, row, keys.link_key, keys.direct_key, host)
        except KeyTaken as taken:
            raise KeyTaken(row, taken.has, TO_BE_CHANGED) from taken
        await hub.reconciler.caught_up()
    return await reply(hub, row, host)


def _secret_fits(found: TokenRow | None, secret: str) -> bool:
    kept = found.secret_hash if found is not None else "0" * 64
    return hmac.compare_digest(kept, secret_hash(secret)) and found is not None


async def token(view: View, name: TokenId | str) -> TokenRow | None:
    """A join token by its id."""
    row = await view.one(select(s.tokens.c.doc).where(s.tokens.c.id == name))
    return rows.load(TokenRow, row[0]) if row else None


async def tokens(view: View) -> list[TokenRow]:
    """All join tokens, also those that are of no use any more."""
    found = await view.rows(select(s.tokens.c.doc).order_by(s.tokens.c.id))
    return [rows.load(TokenRow, row[0]) for row in found]


async def token_uses(view: View, name: TokenId) -> tuple[TokenUse, ...]:
    """Who came in by a token, in order."""
    t = s.token_uses
    found = await view.rows(
        select(t.c.node, t.c.name, t.c.at_ms).where(t.c.token == name).order_by(t.c.at_ms)
    )
    return tuple(
        TokenUse(NodeId(str(node)), NodeName(str(label)), msgspec.convert(at, int))
        for node, label, at in found
    )


async def put_token(tx: Transaction, row: TokenRow) -> None:
    """The token as it is from now on."""
    hand = tx.as_owner(Owner.OPERATORS)
    await hand.put(s.tokens, {"id": row.id, "revision": row.revision, "doc": rows.dump(row)})
