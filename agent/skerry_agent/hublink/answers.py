"""Questions from the hub, answered beside everything else.

Owns how many are answered at once, where an answer may go, and that each ends with a last part. A part is a request
that the hub confirms: where nobody listens any more, answering stops at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from skerry_protocol import subjects
from skerry_protocol.codec import WireError, decode, encode
from skerry_protocol.ids import NodeId
from skerry_protocol.messages import Ask, AskPart

from .buslink import BusError, heed
from .natslib import Client, Msg, errors

log = logging.getLogger(__name__)

AT_ONCE = 8
ASK_MAX = 64 << 10
PART_MAX = 512 << 10
ERROR_MAX = 1_000
TAKEN_WITHIN_S = 30.0

OnAsk = Callable[[Ask, Callable[[AskPart], Awaitable[None]]], Awaitable[None]]


class Answers:
    """The answers that are under way on one connection."""

    def __init__(self, client: Client, node: NodeId, on_ask: OnAsk) -> None:
        self._client = client
        self._node = node
        self._on_ask = on_ask
        self._running: set[asyncio.Task[None]] = set()

    async def take(self, message: Msg) -> None:
        """A question came. Dropped where it cannot be read, or wants its answer somewhere else than the hub listens."""
        if not message.reply.startswith(f"{subjects.answer(self._node)}."):
            log.warning("dropped a question whose answer is not for the hub")
            return
        try:
            question = decode(Ask, message.data, limit=ASK_MAX)
        except WireError as error:
            await self._last(message.reply, f"cannot answer: {error}")
            return
        if len(self._running) >= AT_ONCE:
            await self._last(
                message.reply, f"cannot answer: {AT_ONCE} questions are being answered (try again)"
            )
            return
        task = asyncio.create_task(self._answer(message.reply, question))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def stop(self) -> None:
        """Ends all answers."""
        tasks = tuple(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, to: str, question: Ask) -> None:
        ended = False

        async def send(part: AskPart) -> None:
            nonlocal ended
            await self._send(to, part)
            ended = ended or part.last

        try:
            await self._on_ask(question, send)
        except BusError as error:
            log.debug("stopped answering %s: %s", question.what, error)
            return
        except Exception as error:  # a question must not end the agent
            log.exception("cannot answer %s", question.what)
            if not ended:
                await self._last(to, f"cannot answer: {type(error).__name__}: {error}")
            return
        if not ended:
            await self._last(to, None)

    async def _last(self, to: str, error: str | None) -> None:
        try:
            await self._send(to, AskPart(last=True, error=error and error[:ERROR_MAX]))
        except BusError as gone:
            log.debug("nobody listens to the end of an answer: %s", gone)

    async def _send(self, to: str, part: AskPart) -> None:
        """Returns when the hub has it. Raises BusError where nobody takes it."""
        data = encode(part)
        if len(data) > PART_MAX:
            raise ValueError(f"a part has {len(data)} bytes, at most {PART_MAX} are taken")
        try:
            await self._client.request(to, data, timeout=TAKEN_WITHIN_S)
            heed()
        except (TimeoutError, OSError, errors.Error) as error:
            raise BusError(f"nobody takes the answer: {str(error) or type(error).__name__}") from error
