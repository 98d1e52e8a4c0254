"""Asks one node something and hands on its answers piece by piece.

Every piece is a request that is answered here, so that a node notices at once that nobody listens any more, and never
sends faster than they are taken. Must never trust an answer: it is text from a node.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from skerry_protocol import subjects
from skerry_protocol.codec import WireError, decode, encode
from skerry_protocol.ids import NodeId, Region
from skerry_protocol.messages import Ask, AskPart

from .link import BusError
from .rejects import Rejects

PART_MAX = 512 << 10
PENDING_BYTES = 4 << 20


async def ask(
    client: Client, region: Region, node: NodeId, question: Ask, timeout_s: float, rejects: Rejects
) -> AsyncGenerator[AskPart, None]:
    """The node's parts, the last with `last` set. BusError: it is not connected, or silent for timeout_s."""
    inbox = f"{subjects.answer(node)}.{client.new_inbox().rsplit('.', 1)[-1]}"
    try:
        listening = await client.subscribe(inbox, pending_bytes_limit=PENDING_BYTES)
        await client.publish(subjects.ask(region, node), encode(question), reply=inbox)
    except nats.errors.Error as error:
        raise BusError(f"cannot ask {node}: {error}") from error
    try:
        while True:
            part = await _part(listening, node, timeout_s, rejects)
            yield part
            if part.last:
                return
    finally:
        with suppress(nats.errors.Error):
            await listening.unsubscribe()


async def _part(listening: Subscription, node: NodeId, timeout_s: float, rejects: Rejects) -> AskPart:
    """The next part. One that is no AskPart ends the answer."""
    try:
        message = await listening.next_msg(timeout=timeout_s)
        await _taken(message, node)
        if (message.headers or {}).get("Status") == "503":
            raise BusError(f"cannot ask {node}: it is not connected")
        return decode(AskPart, message.data, limit=PART_MAX)
    except (TimeoutError, nats.errors.TimeoutError) as error:
        raise BusError(f"cannot ask {node}: no answer within {timeout_s:.0f} s") from error
    except asyncio.CancelledError:
        raise
    except WireError as error:
        rejects.add(node, "answer", str(error))
        raise BusError(f"cannot ask {node}: its answer cannot be read: {error}") from error
    except nats.errors.Error as error:
        raise BusError(f"cannot ask {node}: the connection to NATS ended") from error


async def _taken(message: Msg, node: NodeId) -> None:
    """Tells the node that the part arrived, but only where that node itself listens."""
    if message.reply.startswith(f"{subjects.inbox(node)}."):
        await message.respond(b"")
