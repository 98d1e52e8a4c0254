"""Who may say and hear what on NATS: the operator, accounts and users of a region, as signed tokens without end dates.

Owns every permission. The server checks tokens by itself, so that nodes reconnect while the hub is down. A node's token
carries no moment at all (issued at 1, never expiring): a node that was away for months is let in by it, unless the
account's token names its machine key as revoked, which holds for ever: a forgotten machine joins with a new key. Must
never read a clock; the account's token needs a growing `issued_at`, which is an argument.

A node never gets a way to create consumers: the server would publish a stream's messages on any subject for it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from skerry_protocol import subjects
from skerry_protocol.codec import decode, encode
from skerry_protocol.ids import NodeId, Region
from skerry_protocol.signing import new_key, public_key

from .nkeys import Json, Kind, public_text, token

NODE_ISSUED_AT = 1
REVOKED_UNTIL = 1  # compared with a token's issue; all of ours have NODE_ISSUED_AT
PAYLOAD_MAX = 1 << 20
NODE_SUBSCRIPTIONS = 64
UNLIMITED = -1
REPLY_WITHIN_NS = 60 * 1_000_000_000


class Accounts(Struct, frozen=True):
    """The private keys (raw, 32 bytes) behind a region's NATS. Secret; kept in the hub's data folder.

    `signing` signs the users of account `mesh`; it can be changed, which ends all users that it signed.
    """

    operator: bytes
    system: bytes
    system_user: bytes
    mesh: bytes
    signing: bytes
    hub_user: bytes

    @property
    def system_id(self) -> str:
        """The system account's public key, as NATS writes it."""
        return public_text(Kind.ACCOUNT, public_key(self.system))

    @property
    def mesh_id(self) -> str:
        """The public key of the account that hub and nodes talk in, as NATS writes it."""
        return public_text(Kind.ACCOUNT, public_key(self.mesh))


def new_accounts() -> bytes:
    """Fresh keys for a region's NATS, in the form in which the hub keeps them (mode 0600)."""
    return encode(Accounts(*(new_key() for _ in range(6))))


def open_accounts(kept: bytes) -> Accounts:
    """What `new_accounts` made. Raises WireError where the bytes are not that."""
    return decode(Accounts, kept, limit=4096)


def with_new_signing_key(accounts: Accounts) -> bytes:
    """The same accounts under another signing key: all credentials of nodes end, and all revocations."""
    return encode(
        Accounts(
            accounts.operator,
            accounts.system,
            accounts.system_user,
            accounts.mesh,
            new_key(),
            accounts.hub_user,
        )
    )


def operator_token(accounts: Accounts) -> str:
    """What the server trusts: everything below is signed by this operator."""
    nats: dict[str, Json] = {"type": "operator", "version": 2, "system_account": accounts.system_id}
    return _issue(accounts.operator, Kind.OPERATOR, _operator_id(accounts), "skerry", NODE_ISSUED_AT, nats)


def system_account_token(accounts: Accounts) -> str:
    """The account in which the hub tells the server about revocations."""
    nats: dict[str, Json] = {"type": "account", "version": 2, "limits": _no_limits()}
    return _issue(accounts.operator, Kind.OPERATOR, accounts.system_id, "system", NODE_ISSUED_AT, nats)


def mesh_account_token(accounts: Accounts, revoked: Iterable[bytes], issued_at: int) -> str:
    """The account of hub and nodes, with the machine keys (raw public, 32 bytes) that are not let in any more.

    `issued_at` (seconds) orders two of these tokens: the server keeps the newer one over a restart.
    """
    signer = public_text(Kind.ACCOUNT, public_key(accounts.signing))
    revocations: dict[str, Json] = {
        public_text(Kind.USER, key): REVOKED_UNTIL for key in sorted(set(revoked))
    }
    nats: dict[str, Json] = {
        "type": "account",
        "version": 2,
        "limits": {**_no_limits(), **_jetstream_limits()},
        "signing_keys": [signer],
        "revocations": revocations,
    }
    return _issue(accounts.operator, Kind.OPERATOR, accounts.mesh_id, "mesh", issued_at, nats)


def node_credentials(accounts: Accounts, machine_key: bytes, region: Region, node: NodeId) -> str:
    """The token for one machine (raw public key, 32 bytes). Not secret: only the machine's private key can use it."""
    pub = [
        subjects.beat(region, node),
        subjects.report(region, node),
        subjects.direct_get(region, node),
        f"{subjects.answer(node)}.>",
    ]
    sub = [
        f"{subjects.inbox(node)}.>",
        subjects.assign(region, node),
        subjects.ask(region, node),
        subjects.nudge(region, node),
    ]
    return _user(
        accounts, machine_key, str(node), pub, sub, {"subs": NODE_SUBSCRIPTIONS, "payload": PAYLOAD_MAX}
    )


def hub_credentials(accounts: Accounts, region: Region) -> str:
    """The token of the hub itself. It answers requests where they ask it to (`resp`), and nowhere else."""
    streams = (subjects.ASSIGN_STREAM, subjects.REPORT_STREAM)
    consumer = f"{subjects.REPORT_STREAM}.{subjects.REPORT_CONSUMER}"
    pub = [
        subjects.assign(region, "*"),
        subjects.report(region, subjects.NOBODY),
        subjects.ask(region, "*"),
        subjects.nudge(region, "*"),
        "$JS.API.INFO",
        *(
            f"$JS.API.STREAM.{verb}.{name}"
            for verb in ("CREATE", "UPDATE", "INFO", "PURGE")
            for name in streams
        ),
        f"$JS.API.STREAM.MSG.GET.{subjects.ASSIGN_STREAM}",
        f"$JS.API.CONSUMER.INFO.{consumer}",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{consumer}",
        f"$JS.API.CONSUMER.DELETE.{consumer}",
        f"$JS.API.CONSUMER.MSG.NEXT.{consumer}",
        f"$JS.ACK.{consumer}.>",
    ]
    sub = [
        f"{subjects.HUB_INBOX}.>",
        f"{subjects.answer('*')}.>",
        subjects.beat(region, "*"),
    ]
    answers: dict[str, Json] = {"resp": {"max": 1, "ttl": REPLY_WITHIN_NS}}
    return _user(accounts, public_key(accounts.hub_user), "hub", pub, sub, answers)


def system_credentials(accounts: Accounts) -> str:
    """The token with which the hub hands the server a newer account token, and nothing else."""
    nats = _permissions(["$SYS.REQ.CLAIMS.UPDATE"], [f"{subjects.HUB_INBOX}.>"])
    return _issue(
        accounts.system, Kind.ACCOUNT, _user_id(public_key(accounts.system_user)), "hub", NODE_ISSUED_AT, nats
    )


def _user(
    accounts: Accounts, public: bytes, name: str, pub: list[str], sub: list[str], more: dict[str, Json]
) -> str:
    nats = {**_permissions(pub, sub), "issuer_account": accounts.mesh_id, **more}
    return _issue(accounts.signing, Kind.ACCOUNT, _user_id(public), name, NODE_ISSUED_AT, nats)


def _permissions(pub: list[str], sub: list[str]) -> dict[str, Json]:
    return {
        "type": "user",
        "version": 2,
        "pub": {"allow": list(pub)},
        "sub": {"allow": list(sub)},
        "subs": UNLIMITED,
        "data": UNLIMITED,
        "payload": UNLIMITED,
        "allowed_connection_types": ["STANDARD"],
    }


def _issue(signer: bytes, kind: Kind, subject: str, name: str, issued_at: int, nats: dict[str, Json]) -> str:
    return token(signer, kind, {"sub": subject, "name": name, "iat": issued_at, "nats": nats})


def _operator_id(accounts: Accounts) -> str:
    return public_text(Kind.OPERATOR, public_key(accounts.operator))


def _user_id(public: bytes) -> str:
    return public_text(Kind.USER, public)


def _no_limits() -> dict[str, Json]:
    kinds = ("subs", "data", "payload", "imports", "exports", "conn", "leaf")
    return {**dict.fromkeys(kinds, UNLIMITED), "wildcards": True}


def _jetstream_limits() -> dict[str, Json]:
    kinds = ("mem_storage", "disk_storage", "streams", "consumer", "max_ack_pending")
    return dict.fromkeys(kinds, UNLIMITED)
