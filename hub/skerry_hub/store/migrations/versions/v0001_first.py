"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _text(name: str, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=null)


def _number(name: str, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=null)


def _table(name: str, keys: int, *columns: sa.Column[str] | sa.Column[int] | sa.Column[bytes]) -> None:
    """A table whose first `keys` columns are its key."""
    key = sa.PrimaryKeyConstraint(*(column.name for column in columns[:keys]))
    op.create_table(name, *columns, key)


def upgrade() -> None:
    """Makes every table of the first version."""
    _operators()
    _nodes_words()
    _decisions()
    _journals()
    _edges()


def _operators() -> None:
    _table("meta", 1, _text("key"), _text("doc"))
    _table(
        "people",
        1,
        *map(_text, ("name", "role", "token_hash")),
        _number("made_at_ms"),
        _number("revoked_at_ms", True),
        _number("revision"),
    )
    op.create_index("people_token", "people", ["token_hash"], unique=True)
    _table("apps", 1, _text("name"), _number("revision"), _text("doc"))
    _table("nodes", 1, _text("id"), _text("name"), _number("revision"), _text("doc"))
    op.create_index("nodes_name", "nodes", ["name"], unique=True)
    _table("forgotten", 1, _text("id"), _number("at_ms"), _text("doc"))
    _table("tokens", 1, _text("id"), _number("revision"), _text("doc"))
    _table("token_uses", 2, _text("token"), _text("node"), _text("name"), _number("at_ms"))
    _table("artifacts", 1, _text("sha256"), _number("size"), _text("name"), _number("at_ms"))


def _nodes_words() -> None:
    _table("facts", 1, _text("node"), _text("doc"))
    _table("steps", 2, *map(_text, ("instance", "step", "node", "app", "doc")))
    op.create_index("steps_app", "steps", ["app"])
    _table("outboxes", 2, _text("node"), _text("outbox"), _number("seq"))
    _table("losses", 2, _text("node"), _number("lost_after_ms"), _text("doc"))


def _decisions() -> None:
    _table(
        "placements",
        1,
        _text("instance"),
        _text("app"),
        _number("number"),
        _text("node"),
        _number("ended_at_ms", True),
        _text("ended_reason", True),
        _text("doc"),
    )
    op.create_index("placements_live", "placements", ["ended_at_ms", "app", "number"])
    _table("claims", 2, _text("app"), _number("number"), _text("doc"))
    _table("boots", 1, _text("node"), _text("doc"))
    _table(
        "assignments",
        4,
        _text("node"),
        *map(_number, ("serial", "epoch", "generation")),
        _text("digest"),
        _text("doc"),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
    )
    op.create_index("assignments_digest", "assignments", ["digest"])


def _journals() -> None:
    _table(
        "revisions",
        3,
        _text("kind"),
        _text("name"),
        _number("number"),
        _number("at_ms"),
        _text("changer"),
        _text("reason"),
        _text("content", True),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        _number("at_ms"),
        _text("code"),
        *(_text(name, True) for name in ("app", "node", "instance", "changer")),
        _text("text"),
        _text("data", True),
        sqlite_autoincrement=True,
    )
    op.create_index("events_app", "events", ["app", "id"])
    op.create_index("events_node", "events", ["node", "id"])


def _edges() -> None:
    _table(
        "idempotency",
        3,
        *map(_text, ("key", "person", "route", "request")),
        _number("status"),
        _text("body"),
        _number("at_ms"),
    )
    op.create_index("idempotency_age", "idempotency", ["at_ms"])
    _table("lead", 1, _number("one"), _number("term"), _text("holder"), _number("until_ms"))
    _table("paused", 1, _text("node"), _number("since_ms"), _text("doc"))


def downgrade() -> None:
    """Never: an older hub refuses a newer file."""
    raise NotImplementedError
