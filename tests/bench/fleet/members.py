"""The folder of a hub that has thousands of nodes already, put there by the hub's own code, and what each node got.

Joining is a request over HTTPS with two signatures for each machine; `crowds` measures a few of them.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from skerry_hub.daemon import first_admin
from skerry_hub.identity import Identity, create
from skerry_hub.model import NodeRow
from skerry_hub.nats.auth import node_credentials
from skerry_hub.nats.edge import accounts_of
from skerry_hub.store import Owner, Store, rows
from skerry_protocol import signing
from skerry_protocol.ids import MeshName, NodeName, Region, node_id

from .simnode import Login

REGION = Region("north")
SITES = 100


class Members(Struct, frozen=True):
    """The hub's keys, its admin's token, and its nodes in the order of their names."""

    identity: Identity
    token: str
    logins: tuple[Login, ...]


async def made(folder: Path, many: int) -> Members:
    """A hub in `folder` that was never started, with `many` nodes named n00000 and on."""
    identity = create(folder, MeshName("bench"), REGION)
    token = await first_admin(identity, "admin")
    accounts = accounts_of(identity.data)
    logins = []
    store = await Store.open(identity.database)
    try:
        async with store.write() as tx:
            hand = tx.as_owner(Owner.OPERATORS)
            for number in range(many):
                key = signing.new_key()
                row = _row(number, signing.public_key(key))
                await rows.put_node(hand, row)
                credentials = node_credentials(accounts, row.machine_key, REGION, row.id)
                logins.append(Login(row.id, key, credentials))
    finally:
        await store.close()
    return Members(identity, token, tuple(logins))


def _row(number: int, machine_key: bytes) -> NodeRow:
    return NodeRow(
        node_id(machine_key), NodeName(f"n{number:05}"), machine_key, {"site": f"s{number % SITES}"}, "x86_64",
        memory_bytes=8 << 30, cpu_milli=4000,
    )  # fmt: skip
