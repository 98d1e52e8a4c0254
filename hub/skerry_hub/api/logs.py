"""What an app's copies write, read from the nodes' journals through the mesh, as lines of JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import msgspec
from litestar import Router, get
from litestar.params import FromPath, FromQuery
from litestar.response import Stream

from skerry_protocol.ids import AppName, NodeId, instance_name
from skerry_protocol.messages import Ask

from ..hub import Hub
from ..model import Placement
from ..nats.bus import BusError
from ..store import rows
from .auth import VIEWER
from .faults import AnyRequest, ApiError, nothing
from .following import Following, line_of
from .views import LogLine

LINES_MAX = 100_000
QUEUE = 1_000
STILL_HERE_S = 20.0
ANSWER_S = 10.0


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
        names = {row.id: str(row.name) for row in await rows.nodes(store)}
        placed = [one for one in await rows.placements(store) if one.app == name]
    if node is not None and node not in names and node not in names.values():
        raise nothing("node", node)

    copies = {one.instance: instance_name(one.app, one.number) for one in placed}
    copy = next((short for full, short in copies.items() if full == instance), instance)

    def chosen(one: Placement, at: str) -> bool:
        return node in {None, at, one.node} and copy in {None, instance_name(one.app, one.number)}

    asked = max(0, min(lines, LINES_MAX))
    if follow:
        following = Following(hub, name, asked, chosen)
        return Stream(_live(following, copy), media_type="application/x-ndjson")
    wanted = {one.node: names.get(one.node, one.node) for one in placed}
    wanted = {one.node: wanted[one.node] for one in placed if chosen(one, wanted[one.node])}
    if not wanted:
        raise _no_copy(AppName(name), placed, names)
    question = Ask("logs", AppName(name), asked)
    return Stream(_merged(hub, wanted, question, copy), media_type="application/x-ndjson")


def _no_copy(app: AppName, placed: Sequence[Placement], names: dict[NodeId, str]) -> ApiError:
    """There is nothing to read, and where there is."""
    if not placed:
        return ApiError(404, f"cannot read logs of {app}: it has no copy", f"'skerry why {app}' says why")
    there = (f"{instance_name(app, one.number)} on {names.get(one.node, one.node)}" for one in placed)
    return ApiError(404, f"cannot read logs of {app}: it has no such copy", f"there is {', '.join(there)}")


def _fits(line: LogLine, instance: str | None) -> bool:
    """Whether the line is of the copy that was asked for."""
    return bool(not line.instance or instance is None or line.instance == instance)


async def _live(following: Following, instance: str | None) -> AsyncIterator[bytes]:
    """Lines as they come; an empty one shows that the hub is there, at first too."""
    yield b"\n"
    async with aclosing(following.lines(STILL_HERE_S)) as every:
        async for line in every:
            if line is None:
                yield b"\n"
            elif _fits(line, instance):
                yield msgspec.json.encode(line) + b"\n"


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
            elif _fits(line, instance):
                yield msgspec.json.encode(line) + b"\n"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _one(
    hub: Hub, node: NodeId, name: str, question: Ask, queue: asyncio.Queue[LogLine | None]
) -> None:
    """One node's part."""
    try:
        async with aclosing(hub.bus.ask(node, question, ANSWER_S)) as parts:
            async for part in parts:
                for line in part.lines:
                    await queue.put(line_of(name, line, str(question.app)))
                if part.error:
                    await queue.put(LogLine(name, error=part.error))
    except BusError as error:
        await queue.put(LogLine(name, error=str(error).replace(f"cannot ask {node}: ", "")))
    finally:
        await queue.put(None)


ROUTER = Router("/api", route_handlers=[logs], tags=["apps"])
