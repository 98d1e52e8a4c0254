"""An app's logs, live: from every node where a copy is, was placed since, or will be.

One task looks where the copies are and keeps one task for each such node. A node is asked anew when its copies or its
assignment changed, because it answers for what ran when it was asked, and when it was away; what it repeats is left
out (`replay`). Must never end by itself: a node that does not answer is said once, and again when it answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from skerry_protocol.ids import AppName, NodeId
from skerry_protocol.messages import Ask

from ..hub import Hub
from ..model import Placement
from ..nats.bus import BusError
from ..store import rows
from .replay import Replay
from .views import LogLine

QUEUE = 1_000
NODE_QUIET_S = 15.0  # a node shows life every 5 s
AGAIN_S = 1.0
REPEATED_LINES = 200  # asked for where a node was away: what it wrote meanwhile
NEW_LINES = 100  # of a copy that was placed since
AWAY = "it does not answer; it is asked again until it does"
NOT_YET = "no instance of"  # the node has not switched to its newest assignment yet

Chosen = Callable[[Placement, str], bool]


@dataclass(frozen=True)
class _Here:
    """What of the app is on a node: while it is the same, one question goes on."""

    name: str
    instances: tuple[str, ...]
    applied: str


class Following:
    """See the module. `chosen` says whether a copy, on the node of that name, is wanted."""

    def __init__(self, hub: Hub, app: str, lines: int, chosen: Chosen, quiet_s: float = NODE_QUIET_S) -> None:
        self._hub = hub
        self._app = AppName(app)
        self._lines = lines
        self._chosen = chosen
        self._quiet_s = quiet_s
        self._replay = Replay()
        self._asked: dict[NodeId, tuple[_Here, asyncio.Task[None]]] = {}
        self._away: dict[str, str] = {}
        self._known: set[str] = set()
        self._unshown: set[str] = set()
        self._queue: asyncio.Queue[LogLine | None] = asyncio.Queue(QUEUE)

    async def lines(self, still_here_s: float) -> AsyncGenerator[LogLine | None, None]:
        """Lines until the hub stops; None where none came for `still_here_s`."""
        looking = asyncio.create_task(self._look())
        try:
            while True:
                try:
                    line = await asyncio.wait_for(self._queue.get(), still_here_s)
                except TimeoutError:
                    if looking.done():
                        looking.result()
                    yield None
                    continue
                if line is None:
                    return
                yield line
        finally:
            tasks = [looking, *(task for _, task in self._asked.values())]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        """Keeps one task for each node with a copy, for as long as what is there stays the same."""
        first = True
        while not self._hub.closing:
            changed = self._hub.copies_written()
            here = await self._here()
            before = frozenset(self._asked)
            for node in before:
                if here.get(node) != self._asked[node][0]:
                    self._asked.pop(node)[1].cancel()
            for node, found in here.items():
                if node not in self._asked:
                    lines = self._lines if first or node in before else max(self._lines, NEW_LINES)
                    self._asked[node] = (found, asyncio.create_task(self._node(node, found, lines)))
            first = False
            await changed.wait()
        await self._queue.put(None)

    async def _here(self) -> dict[NodeId, _Here]:
        async with self._hub.store.read() as store:
            names = {row.id: str(row.name) for row in await rows.nodes(store)}
            placed = [one for one in await rows.placements(store) if one.app == self._app]
            applied = {fact.node: str(fact.applied) for fact in await rows.facts(store)}
        found: dict[NodeId, list[str]] = {}
        for one in placed:
            if self._chosen(one, names.get(one.node, one.node)):
                found.setdefault(one.node, []).append(one.instance)
        return {
            node: _Here(names.get(node, node), tuple(sorted(instances)), applied.get(node, ""))
            for node, instances in found.items()
        }

    async def _node(self, node: NodeId, here: _Here, lines: int) -> None:
        """One node's lines, asked for again whenever its answer ends."""
        while True:
            try:
                await self._ask(node, here.name, lines)
            except BusError:
                await self._trouble(here.name, AWAY)
            await asyncio.sleep(AGAIN_S)

    async def _ask(self, node: NodeId, name: str, lines: int) -> None:
        """Until the node's answer ends. BusError: it is not there, or shows no life."""
        if name in self._known:
            lines = REPEATED_LINES
        elif not lines:
            self._unshown.add(name)
        self._replay.restart(name, lines)
        question = Ask("logs", self._app, max(lines, 1), follow=True)
        async with aclosing(self._hub.bus.ask(node, question, self._quiet_s)) as parts:
            async for part in parts:
                if part.error and NOT_YET not in part.error:
                    await self._trouble(name, part.error)
                elif not part.error and name in self._away:
                    del self._away[name]
                    await self._queue.put(LogLine(name, note="it answers again"))
                for text in part.lines:
                    await self._line(name, line_of(name, text, str(self._app)))

    async def _line(self, name: str, line: LogLine) -> None:
        """A line that was not seen before. Where no old lines are wanted, one of each copy is asked for and not shown:
        by its moment it is known what is new after the node was away."""
        self._known.add(name)
        first = not self._replay.has(line)
        if self._replay.is_new(line) and not (first and name in self._unshown):
            await self._queue.put(line)

    async def _trouble(self, name: str, text: str) -> None:
        """Said once, not with every try."""
        if self._away.get(name) != text:
            self._away[name] = text
            await self._queue.put(LogLine(name, error=text))


def line_of(node: str, line: str, app: str) -> LogLine:
    """A node's line is `<moment> <copy's name> <text>`; another stays as it is."""
    moment, _, rest = line.partition(" ")
    copy, _, text = rest.partition(" ")
    if copy.rpartition("-")[0] == app and copy.rpartition("-")[2].isdecimal():
        return LogLine(node, f"{moment} {text}", copy)
    return LogLine(node, line)
