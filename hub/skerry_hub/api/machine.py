"""What machines ask, without a person: the delegation, joining, renewing, assignments and artifacts.

A joined machine proves itself by its machine key over what it wants and the hub's TLS key, so that the proof is of no
use to another hub or an eavesdropper. Everything here is bounded before it is decoded.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TypeVar

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath

from skerry_protocol import signing
from skerry_protocol.codec import MESSAGE_MAX, WireError, decode, encode
from skerry_protocol.ids import NODE_ID, NodeId
from skerry_protocol.messages import JoinReply, JoinRequest, NetworkKeys, Renewal

from ..hub import Hub
from ..joining.joining import JoinRefused, join, renewed
from ..joining.returning import returned
from ..model import NodeRow
from ..store import rows
from .faults import AnyRequest, ApiError

_T = TypeVar("_T", bound=msgspec.Struct)
MSGPACK = "application/msgpack"
JOIN_MAX = 64 << 10
SHOW = 428  # a machine that this rebuilt hub does not know is to show what it holds, at /return
SHA256 = re.compile(r"[0-9a-f]{64}")


@get("/join/delegation", media_type=MSGPACK)
async def delegation(request: AnyRequest) -> Response[bytes]:
    """The root's word for this hub and its TLS key: what a machine checks before it sends anything secret."""
    hub: Hub = request.app.state.hub
    return Response(hub.identity.delegation_bytes, media_type=MSGPACK)


@post("/join", status_code=200, media_type=MSGPACK)
async def join_here(request: AnyRequest) -> Response[bytes]:
    """Lets a machine in by a token (msgpack JoinRequest, answered by JoinReply). The same machine may ask again."""
    hub: Hub = request.app.state.hub
    asked = _decoded(JoinRequest, await request.body())
    try:
        reply = await join(hub, asked, _host(request))
    except JoinRefused as refused:
        raise ApiError(refused.status, str(refused), refused.then) from refused
    return _packed(reply)


@post("/renew", status_code=200, media_type=MSGPACK)
async def renew(request: AnyRequest) -> Response[bytes]:
    """Fresh credentials for a joined machine.

    Takes a msgpack Renewal: Signed by its machine key over `<node id>.<hub's TLS pin, hex>`, perhaps with its network
    keys; answers with a JoinReply.
    """
    hub: Hub = request.app.state.hub
    asked = _decoded(Renewal, await request.body())
    name, _, pin = asked.payload.decode(errors="replace").partition(".")
    if pin != hub.identity.tls_pin.hex():
        raise ApiError(403, "cannot renew: the request is for another hub")
    row = await _member(hub, name, SHOW if hub.mesh.rebuilt else 403)
    try:
        signing.verify(row.machine_key, signing.RENEW, signing.Signed(asked.payload, asked.signature))
        keys = _network_keys(hub, row, asked.keys) if asked.keys is not None else None
        return _packed(await renewed(hub, row, _host(request), keys))
    except signing.BadSignature as error:
        raise ApiError(403, f"cannot renew {row.name}: {error}") from error
    except JoinRefused as refused:
        raise ApiError(refused.status, str(refused), refused.then) from refused


def _network_keys(hub: Hub, row: NodeRow, signed: signing.Signed) -> NetworkKeys:
    """Raises BadSignature where they are not this machine's word to this hub."""
    keys = _decoded(NetworkKeys, signing.verify(row.machine_key, signing.NETWORK, signed))
    if (keys.node, keys.tls_key) != (row.id, hub.identity.tls_pin):
        raise signing.BadSignature("its network keys are meant for another hub")
    return keys


@post("/return", status_code=200, media_type=MSGPACK)
async def return_here(request: AnyRequest) -> Response[bytes]:
    """Lets a member in again whose hub was lost and rebuilt.

    Takes a msgpack Signed by its machine key over a Returning; answers with a JoinReply.
    """
    hub: Hub = request.app.state.hub
    signed = _decoded(signing.Signed, await request.body(), MESSAGE_MAX)
    try:
        reply = await returned(hub, signed, _host(request))
    except JoinRefused as refused:
        raise ApiError(refused.status, str(refused), refused.then) from refused
    return _packed(reply)


@get("/assignments/{digest:str}", media_type=MSGPACK)
async def assignment(request: AnyRequest, digest: FromPath[str]) -> Response[bytes]:
    """The Envelope of an assignment, by the SHA-256 (hex) of its signed payload; only for the node that it is for."""
    hub: Hub = request.app.state.hub
    node = await proven(request)
    if SHA256.fullmatch(digest) is None:
        raise ApiError(400, "cannot find the assignment: its name is 64 hex digits")
    async with hub.store.read() as view:
        row = await rows.assignment(view, bytes.fromhex(digest))
    if row is None or row.node != node.id:
        raise ApiError(404, f"cannot find assignment {digest[:12]}: there is none for this node")
    return Response(row.envelope, media_type=MSGPACK)


async def proven(request: AnyRequest) -> NodeRow:
    """The node that asks. Raises 401 or 403 where the header does not prove it."""
    hub: Hub = request.app.state.hub
    kind, _, rest = request.headers.get("authorization", "").partition(" ")
    name, _, text = rest.partition(" ")
    if kind.lower() != "skerry-node" or not text:
        raise ApiError(401, "cannot say which node is asking", "send Authorization: Skerry-Node ID SIGNATURE")
    row = await _member(hub, name)
    try:
        signature = base64.b64decode(text, validate=True)
        word = signing.fetch_words(name, hub.identity.tls_pin)
        signing.verify(row.machine_key, signing.FETCH, signing.Signed(word, signature))
    except (signing.BadSignature, binascii.Error) as error:
        raise ApiError(403, f"cannot take this for {row.name}: {error}") from error
    return row


async def _member(hub: Hub, name: str, unknown: int = 403) -> NodeRow:
    if NODE_ID.fullmatch(name) is None:
        raise ApiError(403, "cannot take this for a node: that is no node id")
    async with hub.store.read() as view:
        row = await rows.node(view, NodeId(name))
    if row is None or row.id != name:
        raise ApiError(unknown, f"cannot take this for node {name}: it is no member here", "join anew")
    return row


def _decoded(kind: type[_T], body: bytes, limit: int = JOIN_MAX) -> _T:
    try:
        return decode(kind, body, limit=limit)
    except WireError as error:
        raise ApiError(400, f"cannot read the request: {error}") from error


def _packed(reply: JoinReply) -> Response[bytes]:
    return Response(encode(reply), media_type=MSGPACK)


def _host(request: AnyRequest) -> str | None:
    """The name under which the machine reached this hub: without an `--advertise` the best there is."""
    return request.url.hostname


ROUTER = Router(
    "/", route_handlers=[delegation, join_here, renew, return_here, assignment], tags=["machines"]
)
