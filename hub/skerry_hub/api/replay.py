"""Which lines of a log were seen before, where a node is asked anew in the middle of following it.

A node that is asked again begins with its last lines. Until a copy's lines are newer than the last one that was seen,
those not newer are dropped; lines of the very same moment are counted, so that none is lost and none is shown twice.
Pure. A copy's moments are its node's clock, written so that they sort as text.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .views import LogLine


@dataclass
class _Copy:
    """What was seen of one copy. `again`: how many lines may still be repeats."""

    moment: str = ""
    texts: Counter[str] = field(default_factory=Counter)
    again: int = 0
    repeated: Counter[str] = field(default_factory=Counter)


class Replay:
    """`restart` before a node is asked again; `is_new` for each line that comes."""

    def __init__(self) -> None:
        self._copies: dict[tuple[str, str], _Copy] = {}

    def has(self, line: LogLine) -> bool:
        """Whether a line of the same copy was seen."""
        return (line.node, line.instance) in self._copies

    def any(self) -> bool:
        """Whether any line was seen."""
        return bool(self._copies)

    def restart_all(self, lines: int) -> None:
        """Every node is asked again."""
        for node in {at for at, _ in self._copies}:
            self.restart(node, lines)

    def restart(self, node: str, lines: int) -> None:
        """The node is asked again, for the last `lines` of each copy."""
        for (at, _), copy in self._copies.items():
            if at == node:
                copy.again, copy.repeated = lines, copy.texts.copy()

    def is_new(self, line: LogLine) -> bool:
        """Whether the line was not seen before; it is now."""
        moment = line.line.partition(" ")[0]
        copy = self._copies.setdefault((line.node, line.instance), _Copy())
        if copy.again and moment <= copy.moment:
            copy.again -= 1
            if moment < copy.moment:
                return False
            if copy.repeated[line.line]:
                copy.repeated[line.line] -= 1
                return False
        elif moment != copy.moment:
            copy.again = 0
        if moment != copy.moment:
            copy.moment, copy.texts = moment, Counter()
        copy.texts[line.line] += 1
        return True
