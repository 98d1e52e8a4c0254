"""The tables of the hub's store, as they are now. How older files get here: `migrations`.

A table has columns for what is searched or must be unique; the row itself is `doc`, the JSON of its struct in `model`.
A struct only grows optional fields, so that most changes need no migration. Never SQL of one database alone.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()


def _text(name: str, key: bool = False) -> Column[str]:
    return Column(name, Text, primary_key=key, nullable=False)


def _maybe(name: str) -> Column[str]:
    return Column(name, Text, nullable=True)


def _number(name: str, key: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, nullable=False, autoincrement=False)


meta = Table("meta", metadata, _text("key", True), _text("doc"))
people = Table(
    "people",
    metadata,
    _text("name", True),
    _text("role"),
    _text("token_hash"),
    _number("made_at_ms"),
    Column("revoked_at_ms", BigInteger, nullable=True),
    _number("revision"),
    Index("people_token", "token_hash", unique=True),
)
revisions = Table(
    "revisions",
    metadata,
    _text("kind", True),
    _text("name", True),
    _number("number", True),
    _number("at_ms"),
    _text("changer"),
    _text("reason"),
    _maybe("content"),
)
apps = Table("apps", metadata, _text("name", True), _number("revision"), _text("doc"))
nodes = Table(
    "nodes",
    metadata,
    _text("id", True),
    _text("name"),
    _number("revision"),
    _text("doc"),
    Index("nodes_name", "name", unique=True),
)
forgotten = Table("forgotten", metadata, _text("id", True), _number("at_ms"), _text("doc"))
tokens = Table("tokens", metadata, _text("id", True), _number("revision"), _text("doc"))
token_uses = Table(
    "token_uses", metadata, _text("token", True), _text("node", True), _text("name"), _number("at_ms")
)
facts = Table("facts", metadata, _text("node", True), _text("doc"))
losses = Table("losses", metadata, _text("node", True), _number("lost_after_ms", True), _text("doc"))
placements = Table(
    "placements",
    metadata,
    _text("instance", True),
    _text("app"),
    _number("number"),
    _text("node"),
    Column("ended_at_ms", BigInteger, nullable=True),
    _maybe("ended_reason"),
    _text("doc"),
    Index("placements_live", "ended_at_ms", "app", "number"),
)
claims = Table("claims", metadata, _text("app", True), _number("number", True), _text("doc"))
boots = Table("boots", metadata, _text("node", True), _text("doc"))
assignments = Table(
    "assignments",
    metadata,
    _text("node", True),
    _number("serial", True),
    _number("epoch", True),
    _number("generation", True),
    _text("digest"),
    _text("doc"),
    Column("envelope", LargeBinary, nullable=False),
    Index("assignments_digest", "digest"),
)
steps = Table(
    "steps",
    metadata,
    _text("instance", True),
    _text("step", True),
    _text("node"),
    _text("app"),
    _text("doc"),
    Index("steps_app", "app"),
)
events = Table(
    "events",
    metadata,
    # Plain Integer: the only width that counts up by itself in every database that we use.
    Column("id", Integer, primary_key=True, autoincrement=True),
    _number("at_ms"),
    _text("code"),
    _maybe("app"),
    _maybe("node"),
    _maybe("instance"),
    _maybe("changer"),
    _text("text"),
    _maybe("data"),
    Index("events_app", "app", "id"),
    Index("events_node", "node", "id"),
    sqlite_autoincrement=True,
)
outboxes = Table("outboxes", metadata, _text("node", True), _text("outbox", True), _number("seq"))
artifacts = Table(
    "artifacts", metadata, _text("sha256", True), _number("size"), _text("name"), _number("at_ms")
)
idempotency = Table(
    "idempotency",
    metadata,
    _text("key", True),
    _text("person", True),
    _text("route", True),
    _text("request"),
    _number("status"),
    _text("body"),
    _number("at_ms"),
    Index("idempotency_age", "at_ms"),
)
lead = Table("lead", metadata, _number("one", True), _number("term"), _text("holder"), _number("until_ms"))
paused = Table("paused", metadata, _text("node", True), _number("since_ms"), _text("doc"))
