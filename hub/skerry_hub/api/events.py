"""What happened: events as pages and as a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from litestar import Router, get
from litestar.params import FromQuery
from litestar.response import ServerSentEvent, ServerSentEventMessage

from ..hub import Hub
from ..journal import EventRow, events, last_event
from .auth import VIEWER
from .faults import AnyRequest
from .views import EventView

PING_S = 20.0


def view(row: EventRow) -> EventView:
    """An event as the API shows it."""
    return EventView(
        row.id,
        row.at_ms,
        row.code,
        row.text,
        row.app or "",
        row.node or "",
        row.instance or "",
        row.changer or "",
    )


@get("/events", guards=[VIEWER])
async def page(
    request: AnyRequest,
    after: FromQuery[int | None] = None,
    limit: FromQuery[int] = 100,
    app: FromQuery[str | None] = None,
    node: FromQuery[str | None] = None,
    changer: FromQuery[str | None] = None,
) -> list[EventView]:
    """Events after an id, oldest first; without `after`, the last ones."""
    async with request.app.state.hub.store.read() as store:
        found = await events(store, after or 0, limit, app, node, changer, newest=after is None)
    return [view(row) for row in found]


@get("/events/stream", guards=[VIEWER])
async def stream(
    request: AnyRequest,
    after: FromQuery[int | None] = None,
    app: FromQuery[str | None] = None,
    node: FromQuery[str | None] = None,
    changer: FromQuery[str | None] = None,
) -> ServerSentEvent:
    """Events as they happen (server-sent; the id of each is its own). Begins after `after`, or with what is next."""
    hub: Hub = request.app.state.hub
    last = request.headers.get("last-event-id")
    start = int(last) if last and last.isdigit() and len(last) < 18 else after
    return ServerSentEvent(messages(hub, start, app, node, changer))


async def messages(
    hub: Hub,
    start: int | None,
    app: str | None = None,
    node: str | None = None,
    changer: str | None = None,
    ping_s: float = PING_S,
) -> AsyncIterator[ServerSentEventMessage]:
    """What a stream sends, until the hub stops: each event, and a comment where there was none for `ping_s`."""
    at = start
    while not hub.closing:
        more = hub.events_written()
        async with hub.store.read() as store:
            if at is None:
                at = await last_event(store)
            found = await events(store, at, 500, app, node, changer)
        for row in found:
            at = row.id
            yield ServerSentEventMessage(
                data=msgspec.json.encode(view(row)).decode(), id=row.id, event="event"
            )
        if found:
            continue
        try:
            async with asyncio.timeout(ping_s):
                await more.wait()
        except TimeoutError:
            # Tells both ends that the other is there. Without `data`, which would make it an event.
            yield ServerSentEventMessage(comment="still here", data=None)


ROUTER = Router("/api", route_handlers=[page, stream], tags=["events"])
