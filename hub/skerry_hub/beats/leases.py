"""Which lengths a beat is granted, when each was granted last, and which claims that frees.

Owns the hub's memory of grants. A length is granted only if every claim of that length that the beat names is one that
its node may still have. A freed claim is never granted again, also before the store knows that it is free. Without a
memory (the hub started just now), every length counts as granted at the start. A store that was put back may know a
claim under other lengths than its node: what the node names counts too.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

from skerry_protocol.ids import AppName, NodeId
from skerry_protocol.lease import margin_ms
from skerry_protocol.messages import Beat, Holding

from ..model import ClaimRow, ClaimState
from .events import ClaimKey, NodeTerms

_ENDED = frozenset({ClaimState.ENDING, ClaimState.VOID})


class Leases:
    """All nodes' grants and claims."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.restored = False
        self.freed: set[ClaimKey] = set()
        self._claims: dict[tuple[AppName, int], ClaimRow] = {}
        self._of_node: dict[NodeId, set[tuple[AppName, int]]] = {}
        self._ended: dict[NodeId, set[ClaimKey]] = {}
        self._named: dict[ClaimKey, set[int]] = {}
        self._granted: dict[NodeId, dict[int, tuple[float, int]]] = {}
        self._due: list[tuple[float, ClaimKey]] = []

    def restart(self, now: float) -> None:
        """Another hub may have granted until now: nothing that was granted before is known."""
        self.start = now
        self._granted.clear()
        for keys in self._ended.values():
            for key in keys:
                heappush(self._due, (now, key))

    def learn(self, rows: Iterable[ClaimRow]) -> None:
        """The rows as committed."""
        for row in rows:
            before = self._claims.get((row.app, row.number))
            if before is not None:
                self._ended.get(before.node, set()).discard(before.key)
                self._of_node[before.node].discard((row.app, row.number))
                if before.key != row.key:
                    self.freed.discard(before.key)
                    self._named.pop(before.key, None)
            self._claims[row.app, row.number] = row
            self._of_node.setdefault(row.node, set()).add((row.app, row.number))
            if row.state is ClaimState.FREE:
                self.freed.discard(row.key)
            elif row.state in _ENDED and row.key not in self.freed:
                self._ended.setdefault(row.node, set()).add(row.key)
                heappush(self._due, (self._free_at(row), row.key))

    def grantable(self, node: NodeId, named: Iterable[Holding]) -> frozenset[int]:
        """The lengths asked for, less those that some named claim forbids."""
        lengths: set[int] = set()
        denied: set[int] = set()
        for holding in named:
            may = self._may_hold(node, holding)
            (lengths if may else denied).add(holding.length_ms)
            if may:
                key = (holding.app, holding.number, holding.claim)
                self._named.setdefault(key, set()).add(holding.length_ms)
        return frozenset(lengths - denied)

    def _may_hold(self, node: NodeId, holding: Holding) -> bool:
        row = self._claims.get((holding.app, holding.number))
        if self.restored and (row is None or row.claim < holding.claim):
            return True  # the node's word is newer than this store
        if row is None or row.claim != holding.claim or row.node != node or row.key in self.freed:
            return False
        return row.state in {ClaimState.HELD, ClaimState.ENDING}

    def held_under(self, named: Iterable[Holding], terms: NodeTerms) -> dict[int, frozenset[int]]:
        """For each length asked for: every length that a claim named under it may be held under."""
        issued: dict[ClaimKey, set[int]] = {}
        for copy in (copy for row in terms.issued for copy in row.copies):
            if copy.claim is not None and copy.lease is not None:
                issued.setdefault((copy.app, copy.number, copy.claim), set()).add(copy.lease.length_ms)
        found: dict[int, frozenset[int]] = {}
        for one in named:
            key = (one.app, one.number, one.claim)
            row = self._claims.get((one.app, one.number))
            known = row.lengths if row is not None and row.key == key else ()
            lengths = issued.get(key, set()).union(known, self._named.get(key, ()))
            found[one.length_ms] = found.get(one.length_ms, frozenset()) | lengths
        return found

    def granted(self, node: NodeId, lengths: Iterable[int], terms: NodeTerms, now: float) -> None:
        """Remembers what a reply grants. Call it for exactly what is sent."""
        here = self._granted.setdefault(node, {})
        for length in lengths:
            _, before = here.get(length, (now, 0))
            here[length] = (now, max(before, self._lost_after(node, length, terms)))

    def waits(self, node: NodeId, terms: NodeTerms, at_least: float = 0.0) -> dict[int, float]:
        """For each length that the node may hold: the moment from which no machine of that name holds it any more.

        `at_least`: as if every length had been granted then.
        """
        here = self._granted.get(node, {})
        lengths = {*here, *(length for row in self._rows(node) for length in row.lengths)}
        lengths |= {copy.lease.length_ms for row in terms.issued for copy in row.copies if copy.lease}
        found = {}
        for length in lengths:
            at, lost_after = here.get(length, (self.start, 0))
            found[length] = max(at, at_least) + max(lost_after, self._lost_after(node, length, terms)) / 1000
        return found

    def _lost_after(self, node: NodeId, length: int, terms: NodeTerms) -> int:
        """The longest lost_after (ms) behind a length in what the node may run."""
        leases = [copy.lease for row in terms.issued for copy in row.copies if copy.lease]
        times = [one.lost_after_ms for one in leases if one.length_ms == length]
        times += [row.lost_after_ms for row in self._rows(node) if length in row.lengths]
        if not times:
            times = [
                _lost_after_of(length, row)
                for row in self._rows(node)
                if length in self._named.get(row.key, ())
            ]
        return max(times, default=0)

    def _rows(self, node: NodeId) -> list[ClaimRow]:
        rows = (self._claims[key] for key in self._of_node.get(node, ()))
        return [row for row in rows if row.state is not ClaimState.FREE]

    def freed_by_beat(self, node: NodeId, beat: Beat, terms: NodeTerms) -> list[ClaimKey]:
        """Ended claims that the beat does not name and that no assignment from the applied one on carries."""
        ended = self._ended.get(node)
        if not ended or beat.applied is None:
            return []
        if not any(row.issued == beat.applied for row in terms.issued):
            return []
        since = [row for row in terms.issued if row.issued.version >= beat.applied.version]
        kept = {(copy.app, copy.number, copy.claim) for row in since for copy in row.copies}
        kept |= {(one.app, one.number, one.claim) for one in beat.claims}
        free = sorted(ended - kept)
        for key in free:
            self._free(node, key)
        return free

    def freed_by_time(self, now: float) -> list[ClaimKey]:
        """Ended claims whose lost_after has passed since their node was last granted one of their lengths."""
        free: list[ClaimKey] = []
        while self._due and self._due[0][0] <= now:
            _, key = heappop(self._due)
            row = self._claims.get((key[0], key[1]))
            if row is None or row.key != key or key not in self._ended.get(row.node, set()):
                continue
            at = self._free_at(row)
            if at <= now:
                self._free(row.node, key)
                free.append(key)
            else:
                heappush(self._due, (at, key))
        return free

    def due_at(self) -> float:
        """When `freed_by_time` has something to look at next."""
        return self._due[0][0] if self._due else float("inf")

    def _free(self, node: NodeId, key: ClaimKey) -> None:
        self._ended[node].discard(key)
        self.freed.add(key)

    def _free_at(self, row: ClaimRow) -> float:
        here = self._granted.get(row.node, {})
        lengths = row.lengths or tuple(here)
        last = max((here[length][0] for length in lengths if length in here), default=self.start)
        free = max(last, self.start) + row.lost_after_ms / 1000
        for length in self._named.get(row.key, set()).intersection(here) - {*lengths}:
            at, lost_after = here[length]
            free = max(free, at + lost_after / 1000)
        return free


def _lost_after_of(length_ms: int, row: ClaimRow) -> int:
    """The lost_after (ms) behind a length that this store does not know, with the longest stop timeout that it does."""
    stop_ms = max(
        (row.lost_after_ms - known - margin_ms(row.lost_after_ms) for known in row.lengths), default=0
    )
    return (length_ms + max(stop_ms, 0) + margin_ms(0)) * 100 // 99 + 1
