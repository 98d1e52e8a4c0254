"""`skerry events`: what happened, and with -f what happens."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import click

from ..api.views import EventView
from .client import Client, decoded
from .complete import app_names, node_names
from .errors import EXIT_UNREACHABLE, CliError
from .options import connect, json_option
from .show import as_json, as_json_line, clock, say

DATA = b"data:"
AGAIN_SECONDS = 1.0


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option(
    "-n", "limit", type=click.IntRange(0, 1000), default=50, show_default=True, help="The last N events."
)
@click.option("--app", shell_complete=app_names, help="Of this app alone.")
@click.option("--node", shell_complete=node_names, help="Of this node alone.")
@click.option("--changer", metavar="NAME", help="By this person or loop alone.")
@json_option
def events(
    follow: bool, limit: int, app: str | None, node: str | None, changer: str | None, json_: bool
) -> None:
    """Show what happened and who did it."""
    hub = connect()
    query = {"app": app, "node": node, "changer": changer}
    found = hub.get(tuple[EventView, ...], "/api/events", limit=max(limit, 1), **query)
    last = max((event.id for event in found), default=0)
    found = found if limit else ()
    if not follow:
        if json_:
            as_json(found)
        else:
            _print(found, "There is no such event." if any(query.values()) else "Nothing happened yet.")
        return
    for event in found:
        _one(event, json_)
    for event in following(hub, last, query):
        _one(event, json_)


def _print(found: tuple[EventView, ...], empty: str) -> None:
    for event in found:
        _one(event, json_=False)
    if not found:
        say(empty)


def _one(event: EventView, json_: bool) -> None:
    if json_:
        as_json_line(event)
    else:
        say(line(event))


def line(event: EventView) -> str:
    """An event as one line: when, where, what."""
    where = event.instance or event.app
    place = "@".join(word for word in (where, event.node) if word)
    by = f" [{event.changer}]" if event.changer else ""
    text = event.text.replace("\n", " ")
    return f"{clock(event.at_ms)}  {event.code:<18}  {place or '-':<16}  {text}{by}"


def following(hub: Client, last: int, query: dict[str, str | None]) -> Iterator[EventView]:
    """Events after the id `last`, without end. A hub that goes away is waited for: it may only be restarting."""
    away = False
    while True:
        try:
            for data in datas(hub.lines("/api/events/stream", after=last, **query)):
                event = decoded(EventView, data)
                last, away = event.id, False
                yield event
        except CliError as error:
            if error.code != EXIT_UNREACHABLE:
                raise
        if not away:
            click.echo("skerry: the hub is away, waiting for it", err=True)
        away = True
        time.sleep(AGAIN_SECONDS)


def datas(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The data of each server-sent event (WHATWG HTML, section 9.2.6): its data lines, joined by line feeds."""
    held: list[bytes] = []
    for one in lines:
        if not one:
            if any(held):
                yield b"\n".join(held)
            held = []
        elif one.startswith(DATA):
            held.append(one[len(DATA) :].removeprefix(b" "))
