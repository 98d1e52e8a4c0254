"""By whose word most copies of a node may vanish: an operator's, given now or before, never a fault's.

Whoever chose an app's ha policy said with it that copies are replaced; whoever drained a node or declared it dead said
that it is emptied; whoever confirmed a change said what it removes. Where every copy that vanishes is covered by such
words, they are the confirmation, and the assignment names them. Anything else among them waits for an operator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NewType

from skerry_protocol.ids import InstanceId

from ..model import AppRow, NodeRow, NodeState, Word

Confirmed = NewType("Confirmed", str)

SOMEBODY = "an operator"
SHOWN = 5


def policy_word(row: AppRow) -> Word:
    """An app's ha policy, by who made the revision that holds now."""
    return Word(row.changer or SOMEBODY, "ha policy", row.name)


def change_word(row: AppRow) -> Word | None:
    """A change of the app itself, where its operator confirmed what it removes."""
    if not row.confirmed:
        return None
    return Word(row.changer or SOMEBODY, "removal" if row.app is None else "change", row.name)


def node_word(node: NodeRow) -> Word | None:
    """A drain or a declared death, by who said it."""
    if not node.state_by or node.state not in {NodeState.DRAINING, NodeState.DEAD}:
        return None
    return Word(node.state_by, "drain" if node.state is NodeState.DRAINING else "death", node.name)


def unconfirmed(vanishing: Iterable[InstanceId], words: Mapping[InstanceId, Word]) -> list[InstanceId]:
    """The copies that vanish by nobody's word."""
    return sorted(one for one in vanishing if one not in words)


def confirmed(vanishing: Iterable[InstanceId], words: Mapping[InstanceId, Word]) -> Confirmed | None:
    """The confirmation, e.g. "alice (ha policy of ledger, web)"; None where some copy vanishes by nobody's word."""
    gone = list(vanishing)
    if not gone or unconfirmed(gone, words):
        return None
    people: dict[str, dict[str, set[str]]] = {}
    for one in gone:
        word = words[one]
        people.setdefault(word.by, {}).setdefault(word.what, set()).add(word.on)
    texts = []
    for by, whats in sorted(people.items()):
        said = "; ".join(f"{what} of {', '.join(sorted(on))}" for what, on in sorted(whats.items()))
        texts.append(f"{by} ({said})")
    return Confirmed(", ".join(texts))


def withheld_text(node: str, gone: int, of: int, by_nobody: list[InstanceId]) -> str:
    """Why nothing is sent to the node."""
    shown = ", ".join(by_nobody[:SHOWN]) + (", ..." if len(by_nobody) > SHOWN else "")
    return f"{gone} of {of} copies on node {node} would be removed, {shown} by nobody's word"
