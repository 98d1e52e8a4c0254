"""What is expected of a node follows from what it may know."""

from __future__ import annotations

from skerry_hub.beats.terms import node_terms
from skerry_protocol.app import Overlap
from skerry_protocol.ids import AppName

from .. import builders as b

DB = b.ha("db", Overlap.FORBID)


def test_a_paused_node_is_not_taken_for_silent_by_what_a_restored_store_says_of_it() -> None:
    """It holds something else, by which it may beat every five minutes."""
    node, placed = b.node("a"), [b.placement("db-1-i", "db", 1, "a", revision=1)]
    revisions = {(AppName("db"), 1): b.row(DB)}
    assert node_terms(node, placed, revisions, [], None).lost_after_ms
    assert not node_terms(node, placed, revisions, [], None, paused=True).lost_after_ms
