"""Who watches what nodes accept: nothing older, nothing that leaves out a copy without a word, no app gone back.

Looks at each assignment at the moment at which a node takes it for its own.
"""

from __future__ import annotations

from collections.abc import Callable

from skerry_agent.assignments.accept import UNCONFIRMED_MAX, Take
from skerry_agent.switch.node import Node
from skerry_protocol.messages import Assignment

from .machine import Machine
from .processes import CURRENT

_take = Node._take


class Accepted:
    """See the module. There is one at a time."""

    def __init__(self, breach: Callable[[str], None]) -> None:
        self._breach = breach

        def take(node: Node, decision: Take, envelope: bytes) -> None:
            before, held = node.assignment, node.accepted
            _take(node, decision, envelope)
            process = CURRENT.get()
            if process is None or not isinstance(process.owner, Machine) or held is None:
                return
            name = process.owner.name
            if decision.issued.version < held.version:
                breach(f"{name} took {decision.issued.version} after {held.version}")
            if before is not None and decision.assignment.overwrites != held.digest:
                self._judge(name, before, decision.assignment)

        Node._take = take  # type: ignore[assignment,method-assign]

    def _judge(self, name: str, before: Assignment, after: Assignment) -> None:
        new = {one.id: one.revision for one in after.instances}
        gone = {one.id for one in before.instances} - new.keys()
        unsaid = [one for one in before.instances if one.id in gone - set(after.removed)]
        for one in unsaid:
            self._breach(f"{one.app}-{one.number} was taken from {name} by being left out")
        many = len(gone) > UNCONFIRMED_MAX and 2 * len(gone) > len(before.instances)
        if many and not after.confirmed_by:
            self._breach(f"{len(gone)} of {len(before.instances)} copies were taken from {name} unasked")
        for one in before.instances:
            if new.get(one.id, one.revision) < one.revision:
                was = f"from revision {one.revision} to {new[one.id]}"
                self._breach(f"{one.app}-{one.number} on {name} went back {was}, by no operator's word")
