"""The newest assignments of nodes, read together for all who ask at the same time.

A change to all asks for thousands, and to read the store for each costs more than to send it. Nothing is kept: what is
asked for after a read began is read anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from skerry_protocol.ids import NodeId

from ..model import AssignmentRow

Read = Callable[[Collection[NodeId]], Awaitable[Mapping[NodeId, AssignmentRow]]]


class NewestOf:
    """Call it with a node: its newest assignment as of now, or None."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._asked: dict[NodeId, asyncio.Future[AssignmentRow | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def __call__(self, node: NodeId) -> AssignmentRow | None:
        """Raises what the read raised."""
        answer = self._asked.get(node)
        if answer is None:
            answer = self._asked[node] = asyncio.get_running_loop().create_future()
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._answer())
        return await asyncio.shield(answer)  # whoever gives up must not end it for the others

    async def _answer(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            try:
                found = await self._read(asked)
            except Exception as error:  # noqa: BLE001 - it is for those who asked
                for answer in asked.values():
                    answer.set_exception(error)
                    answer.exception()  # perhaps nobody waits any more
            else:
                for node, answer in asked.items():
                    answer.set_result(found.get(node))
