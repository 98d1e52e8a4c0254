"""Who may write what: each table of the store has exactly one owner, and the store holds everybody to it.

Journals are the one exception: whoever changes something says so there in the same transaction, and nobody edits.
"""

from __future__ import annotations

from enum import StrEnum


class Owner(StrEnum):
    """A writer of stored state. A join writes as `operators`: a token is an operator's word, given ahead."""

    OPERATORS = "operators"
    PEOPLE = "people"
    INTAKE = "intake"
    SILENCE = "silence"
    SCHEDULE = "schedule"
    CLAIM = "claim"
    BOOTS = "boots"
    SIGN = "sign"
    API = "api"
    LEADER = "leader"
    RESUME = "resume"
    UPKEEP = "upkeep"


OWNS: dict[Owner, frozenset[str]] = {
    Owner.OPERATORS: frozenset({"apps", "nodes", "forgotten", "tokens", "token_uses", "artifacts"}),
    Owner.PEOPLE: frozenset({"people"}),
    Owner.INTAKE: frozenset({"facts", "steps", "outboxes"}),
    Owner.SILENCE: frozenset({"losses"}),
    Owner.SCHEDULE: frozenset({"placements"}),
    Owner.CLAIM: frozenset({"claims"}),
    Owner.BOOTS: frozenset({"boots"}),
    Owner.SIGN: frozenset({"assignments"}),
    Owner.API: frozenset({"idempotency"}),
    Owner.LEADER: frozenset({"lead"}),
    Owner.RESUME: frozenset({"meta", "paused"}),
    Owner.UPKEEP: frozenset(),
}
JOURNALS = frozenset({"events", "revisions"})
TRIMMED = frozenset({"events"})  # by upkeep, to the bound that the region set


class NotYours(RuntimeError):
    """A loop tried to write what another owns: a fault in the hub, never in its input."""


def check_owners(owns: dict[Owner, frozenset[str]], tables: frozenset[str]) -> None:
    """Raises NotYours where a table has two owners, or none. Called when a store is opened."""
    seen: dict[str, Owner] = {}
    for owner, names in owns.items():
        for name in names:
            if name in seen:
                raise NotYours(f"cannot open the store: {name} is owned by both {seen[name]} and {owner}")
            seen[name] = owner
    if bare := tables - seen.keys() - JOURNALS:
        raise NotYours(f"cannot open the store: nobody owns {', '.join(sorted(bare))}")
