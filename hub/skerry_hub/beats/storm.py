"""The storm brake: when many nodes are silent at once, it is the hub that is cut off.

Owns whom to ask and how the answers are judged. More than half of those asked silent: nothing is replaced. In a region
of two or three nodes: all that are not the hub's own machine. Where there is nobody to ask, nobody contradicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from skerry_protocol.ids import NodeId

from .events import NodeTerms

ASKED = 20
SMALL_REGION = 3
AGAIN_S = 5.0
SHOWN = 5
# Best-effort work alone beats every five minutes: who missed two of them was away before the storm.
AWAY_S = 660.0


@dataclass(frozen=True)
class Probe:
    """Nodes asked at a moment. `small`: only the silence of all of them means that the hub is cut off."""

    at: float
    asked: tuple[NodeId, ...]
    small: bool

    def silent(self, heard: Mapping[NodeId, float]) -> int:
        """How many have not been heard since."""
        return sum(1 for node in self.asked if heard.get(node, float("-inf")) < self.at)

    def cut_off(self, heard: Mapping[NodeId, float]) -> bool:
        silent = self.silent(heard)
        if not self.asked:
            return False
        return silent == len(self.asked) if self.small else silent * 2 > len(self.asked)


@dataclass
class Storm:
    """`held` are silent nodes that are not declared lost. `passed`: the region's time to hold is over."""

    since: float = 0.0
    holds: bool = False
    passed: bool = False
    last: Probe | None = None
    verdict: Probe | None = None
    held: dict[tuple[NodeId, int], None] = field(default_factory=dict)
    _returned: list[tuple[NodeId, int]] = field(default_factory=list)
    _turn: int = 0

    @property
    def active(self) -> bool:
        return self.holds or self.passed

    def probe(
        self,
        now: float,
        about: NodeId | None,
        nodes: Mapping[NodeId, NodeTerms],
        lost: Iterable[NodeId],
        since: Callable[[NodeId], float],
    ) -> Probe:
        """Chooses whom to ask: not the node in question, nor those known to be away before this began."""
        gone = set(lost)
        living = [node for node in sorted(nodes) if nodes[node].alive]
        small = len(living) <= SMALL_REGION
        before = (self.since if self.active else now) - AWAY_S
        others = [node for node in living if node != about and node not in gone and since(node) >= before]
        if small:
            others = [node for node in others if not nodes[node].own_machine]
        self._turn += 1
        self.last = Probe(now, _some(others, self._turn), small)
        return self.last

    def heard(self, node: NodeId) -> None:
        """A held node is back: it is no longer waited for."""
        for watch in [watch for watch in self.held if watch[0] == node] if self.held else ():
            del self.held[watch]
            self._returned.append(watch)

    def take_heard(self) -> list[tuple[NodeId, int]]:
        """The held ones that came back since last asked."""
        taken, self._returned = self._returned, []
        return taken

    def hold(self, watch: tuple[NodeId, int], probe: Probe, now: float) -> None:
        if not self.holds:
            self.since, self.holds = now, True
        self.held[watch] = None
        self.verdict = probe

    def due(self, now: float) -> bool:
        """Whether it is time to ask again."""
        return self.last is None or now - self.last.at >= AGAIN_S

    def check(self, now: float, heard: Mapping[NodeId, float]) -> bool:
        """Whether the last question, once there was time to answer, shows that the hub is heard again."""
        last = self.last
        if last is None or now - last.at < AGAIN_S or last.at < self.since:
            return False
        return not last.cut_off(heard)

    def give_up(self) -> list[tuple[NodeId, int]]:
        """The region's time is over: the held ones are lost after all, and so is whoever falls silent now."""
        held = list(self.held)
        self.held.clear()
        self.holds, self.passed = False, True
        return held

    def release(self) -> list[tuple[NodeId, int]]:
        """The storm is over; returns what was held and what came back meanwhile, all to be watched again."""
        released = [*self.held, *self.take_heard()]
        self.held.clear()
        self.holds = self.passed = False
        self.last = self.verdict = None
        return released


def _some(nodes: list[NodeId], turn: int) -> tuple[NodeId, ...]:
    """Up to 20 of them, spread over the list, others each turn."""
    count = min(ASKED, len(nodes))
    return tuple(sorted({nodes[(place * len(nodes) // count + turn) % len(nodes)] for place in range(count)}))


def reason_of(
    verdict: Probe | None, heard: Mapping[NodeId, float], fenced: list[str], hold_ms: int | None
) -> str:
    """The sentence for people: the copies that are down come first."""
    down = _down(fenced)
    until = "until they answer" if hold_ms is None else f"until they answer, or for {hold_ms / 1000:g} s"
    if verdict is None:
        return f"{down}nothing is replaced {until}: this hub seems to be cut off"
    return (
        f"{down}nothing is replaced {until}: {verdict.silent(heard)} of {len(verdict.asked)} nodes asked do not"
        " answer, so it is this hub that is cut off"
    )


def passed_of(hold_ms: int) -> str:
    """The sentence for people once the region's time to hold is over."""
    return (
        f"it held for {hold_ms / 1000:g} s and the nodes do not answer: what is lost is replaced from now on"
    )


def _down(fenced: list[str]) -> str:
    if not fenced:
        return ""
    more = ", ..." if len(fenced) > SHOWN else ""
    what = (
        "1 copy that forbids overlap is"
        if len(fenced) == 1
        else f"{len(fenced)} copies that forbid overlap are"
    )
    return f"{what} down ({', '.join(fenced[:SHOWN])}{more}); "
