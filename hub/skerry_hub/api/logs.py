"""What an app's copies write, read from the nodes' journals through the mesh, as lines of JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
from litestar import Router, get
from litestar.params import FromPath, FromQuery
from litestar.response import Stream

from skerry_protocol.ids import AppName, NodeId, instance_name
from skerry_protocol.messages import Ask

from ..hub import Hub
from ..nats.bus import BusError
from ..store import rows
from .auth import VIEWER
from .faults import AnyRequest, nothing
from .views import LogLine

LINES_MAX = 100_000
QUEUE = 1_000
STILL_HERE_S = 20.0


@get("/apps/{name:str}/logs", guards=[VIEWER])
async def logs(
    request: AnyRequest,
    name: FromPath[str],
    lines: FromQuery[int] = 100,
    follow: FromQuery[bool] = False,
    node: FromQuery[str | None] = None,
    instance: FromQuery[str | None] = None,
) -> Stream:
    """The last lines of each copy, and with `follow` those that come; an empty line shows that the hub is there."""
    hub: Hub = request.app.state.hub
    async with hub.store.read() as store:
        if await rows.app(store, name) is None:
            raise nothing("app", name)
        names = {row.id: row.name for row in await rows.nodes(store)}
        placed = [one for one in await rows.placements(store) if one.app == name]
    wanted = {
        one.node: str(names.get(one.node, one.node))
        for one in placed
        if node in {None, names.get(one.node), one.node}
        and instance in {None, instance_name(one.app, one.number), one.instance}
    }
    question = Ask("logs", AppName(name), max(0, min(lines, LINES_MAX)), follow)
    return Stream(_merged(hub, wanted, question, instance), media_type="application/x-ndjson")


async def _merged(
    hub: Hub, wanted: dict[NodeId, str], question: Ask, instance: str | None
) -> AsyncIterator[bytes]:
    """The nodes' answers as they come. A reader that is slow slows the nodes down, not the hub."""
    queue: asyncio.Queue[LogLine | None] = asyncio.Queue(QUEUE)
    tasks = [asyncio.create_task(_one(hub, node, name, question, queue)) for node, name in wanted.items()]
    left = len(tasks)
    try:
        while left:
            try:
                line = await asyncio.wait_for(queue.get(), STILL_HERE_S)
            except TimeoutError:
                yield b"\n"
                continue
            if line is None:
                left -= 1
            elif line.error or instance is None or not line.instance or line.instance == instance:
                yield msgspec.json.encode(line) + b"\n"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _one(
    hub: Hub, node: NodeId, name: str, question: Ask, queue: asyncio.Queue[LogLine | None]
) -> None:
    """One node's part."""
    timeout_s = 3600.0 if question.follow else 10.0
    try:
        async with aclosing(hub.bus.ask(node, question, timeout_s)) as parts:
            async for part in parts:
                for line in part.lines:
                    await queue.put(_line(name, line, str(question.app)))
                if part.error:
                    await queue.put(LogLine(name, error=part.error))
    except BusError as error:
        await queue.put(LogLine(name, error=str(error)))
    finally:
        await queue.put(None)


def _line(node: str, line: str, app: str) -> LogLine:
    """A node's line is `<moment> <copy's name> <text>`; another stays as it is."""
    moment, _, rest = line.partition(" ")
    copy, _, text = rest.partition(" ")
    if copy.rpartition("-")[0] == app and copy.rpartition("-")[2].isdecimal():
        return LogLine(node, f"{moment} {text}", copy)
    return LogLine(node, line)


ROUTER = Router("/api", route_handlers=[logs], tags=["apps"])
