"""`skerry doctor`: the way from here to the hub, the hub, and a node, one after the other, with what to do."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import click

from skerry_protocol.findings import Finding, bad, lines, ok

from ..api.views import HubHealthView, NodeHealthView, PersonView, StatusView
from .client import Client, Refused, api
from .complete import node_names
from .errors import EXIT_FAILED, EXIT_UNREACHABLE, CliError
from .judging import of_hub, of_node
from .options import json_option
from .settings import Settings, load
from .show import as_json, now_ms, say

CONNECT_S, READ_S = 5.0, 40.0
UNAUTHORIZED = 401


@click.command()
@click.argument("node", required=False, shell_complete=node_names)
@json_option
def doctor(node: str | None, json_: bool) -> int:
    """Look at the way to the hub, at the hub, and at NODE, and say what to do.

    Changes nothing. Exit code 1 where not all is well.
    """
    found = tuple(_found(node))
    if json_:
        as_json(found)
    else:
        for line in lines(found):
            say(line)
    return 0 if all(one.ok for one in found) else EXIT_FAILED


def _found(node: str | None) -> Iterator[Finding]:
    """Ends where what comes after means nothing."""
    try:
        settings = load()
    except CliError as error:
        yield bad("settings", error.what, error.then or "copy the hub's operator.toml there")
        return
    yield ok("settings", settings.source)
    yield _names(settings)
    with Client(settings, CONNECT_S, READ_S) as hub:
        reached = _reached(hub)
        yield from reached
        if all(one.ok for one in reached):
            here = _of_hub(hub)
            yield from here
            yield from _of_node(hub, node, here) if node is not None else ()


def _names(settings: Settings) -> Finding:
    """Where the hubs of the settings are."""
    if settings.socket:
        return ok("name", f"by {settings.socket}")
    hosts = {urlsplit(one).hostname or "": urlsplit(one).port or 443 for one in settings.hubs}
    lost = []
    for host, port in hosts.items():
        try:
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            lost.append(host)
    if lost:
        then = f"mend the name, or this machine's resolver; the hub's address is in {settings.source}"
        return bad("name", f"no address is known of {', '.join(lost)}", then)
    return ok("name", ", ".join(hosts))


def _reached(hub: Client) -> tuple[Finding, ...]:
    """Whether the hub answers, proves itself, and knows who asks."""
    try:
        me = hub.get(PersonView, "/api/me")
    except Refused as error:
        if error.status == UNAUTHORIZED:
            then = error.then or "another admin makes a new one with 'skerry people create'"
            return (ok("hub", "answers, and proved itself"), bad("token", error.what, then))
        return (bad("hub", error.what, error.then or "look at the hub's log"),)
    except CliError as error:
        unreached = error.code == EXIT_UNREACHABLE
        return (bad("hub", error.what, NO_HUB if unreached else error.then or "look at the hub's log"),)
    return (ok("hub", "answers, and proved itself"), ok("token", f"{me.name} ({me.role})"))


NO_HUB = (
    "on the hub: 'systemctl status skerry-hub', and is its TCP port open to here? A hub with another root key is"
    " another mesh. Running work is not affected"
)


def _of_hub(hub: Client) -> tuple[Finding, ...]:
    """How the hub itself is."""
    try:
        health = hub.get(HubHealthView, "/api/doctor")
        return of_hub(hub.get(StatusView, "/api/status"), health, now_ms())
    except CliError as error:
        return (bad("hub", error.what, error.then or "look at the hub's log"),)


def _of_node(hub: Client, node: str, here: Sequence[Finding]) -> tuple[Finding, ...]:
    """How a node is."""
    try:
        return of_node(hub.get(NodeHealthView, api("nodes", node, "doctor")), here)
    except CliError as error:
        return (bad("member", error.what, error.then or "'skerry nodes' lists those that there are"),)
