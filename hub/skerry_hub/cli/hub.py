"""`skerry hub …`: how the hub is, and the operator's word after its store was put back from a backup."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ..api.views import PersonView, RegionAsk, RegionView, ResumeAsk, ResumeView, StatusView
from ..units import write_duration
from .errors import EXIT_USAGE, CliError
from .group import Group
from .options import Duration, agree, connect, json_option, options, reason_option, yes_option
from .settings import Settings
from .show import as_json, count, listed, say, table

FOREVER = -1


@click.group(cls=Group)
def hub() -> None:
    """Ask after the hub, set what holds for its region, and resume one that was restored."""


@hub.command()
@json_option
def status(json_: bool) -> None:
    """Show the region at a glance, and who is asking by which file."""
    client = connect()
    found = client.get(StatusView, "/api/status")
    if json_:
        as_json(found)
        return
    me = client.get(PersonView, "/api/me")
    for line in glance(found, me, client.settings):
        say(line)


def glance(found: StatusView, me: PersonView, settings: Settings) -> Iterator[str]:
    """What `hub status` prints; what everybody must see comes first."""
    yield from (f"! {text}" for text in found.loud)
    yield f"mesh {found.mesh}, region {found.region}, epoch {found.epoch}, term {found.term}"
    silent = f", {found.silent} of them silent" if found.silent else ""
    yield f"{count(found.nodes, 'node')}{silent}; {count(found.apps, 'app')}"
    way = f" by {settings.socket}" if settings.socket else ""
    yield f"asked {listed(settings.hubs)}{way} as {me.name} ({me.role}), named by {settings.source}"


@hub.command()
@click.argument("nodes", nargs=-1, metavar="[NODE]...")
@click.option("--show", is_flag=True, help="Show the difference alone (as without --take).")
@click.option(
    "--take",
    type=click.Choice(["nodes", "hub"]),
    help="nodes: what they hold stands; hub: they are overwritten by the hub's word, in a new epoch.",
)
@options(yes_option, reason_option, json_option)
def resume(nodes: tuple[str, ...], show: bool, take: str | None, yes: bool, reason: str, json_: bool) -> None:
    """Show what nodes hold that a restored hub never issued, and decide.

    Without --take nothing is changed. With it, the nodes that are named, or all that are shown, go on; nodes that are
    away are not covered and pause when they come back.
    """
    if nodes and take is None and not show:
        then = "give --take nodes (what they hold stands) or --take hub (they are overwritten)"
        raise CliError("cannot resume without knowing whose word counts", then, EXIT_USAGE)
    client = connect()
    found = client.get(ResumeView, "/api/resume")
    chosen = covered(found, nodes)
    if take is None or show:
        _shown(found, json_)
        return
    if not json_:
        _shown(found, json_=False)
    if take == "hub":
        agree(f"{listed(chosen) or 'No node'} will be overwritten with what the hub knows.", yes)
    after = client.send(ResumeView, "POST", "/api/resume", ResumeAsk(chosen, take, reason))
    if json_:
        as_json(after)
        return
    say(f"resumed {listed(chosen) or 'the hub'}, taking the word of the {take}")
    if after.paused:
        say(f"still paused: {listed(one.node for one in after.paused)}")


def covered(found: ResumeView, named: tuple[str, ...]) -> tuple[str, ...]:
    """The nodes that a resume is for: those named, else all that are shown. Raises CliError for one that isn't."""
    paused = tuple(one.node for one in found.paused)
    strange = [name for name in named if name not in paused]
    if strange:
        away = " (it is away: it will pause when it comes back)" if strange[0] in found.away else ""
        raise CliError(
            f"cannot resume {strange[0]}: it is not paused{away}",
            "'skerry hub resume' lists those that are",
            EXIT_USAGE,
        )
    return named or paused


def _shown(found: ResumeView, json_: bool) -> None:
    if json_:
        as_json(found)
        return
    if not found.restored and not found.paused:
        say("Nothing to resume: the hub knows all that its nodes hold.")
        return
    rows = ((one.node, one.holds or "-", one.newest or "-", one.text) for one in found.paused)
    table(("NODE", "HOLDS", "HUB'S NEWEST", "WHAT"), rows, "No node holds what the hub did not issue.")
    for line in found.gaps:
        say(f"! {line}")
    if found.away:
        say(f"away, and not covered by a resume: {listed(found.away)}")
    say("--take nodes: what they hold stands.  --take hub: they are overwritten.")


class Hold(Duration):
    """How long the storm brake holds: a length of time, or -1 for "forever"."""

    name = "duration|forever"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return FOREVER if value == "forever" else super().convert(value, param, ctx)


@hub.command("set")
@click.option(
    "--storm-hold",
    type=Hold(),
    metavar="DURATION|forever",
    help="How long nothing is replaced while most nodes are silent at once; forever: until they answer.",
)
@click.option(
    "--keep-events", type=int, metavar="N", help="The newest N events stay, and N/200 of each node's own."
)
@options(reason_option, json_option)
def set_(storm_hold: int | None, keep_events: int | None, reason: str, json_: bool) -> None:
    """Show what holds for the region, or set it."""
    client = connect()
    found = client.get(RegionView, "/api/region")
    if storm_hold is not None or keep_events is not None:
        hold = found.storm_hold_ms if storm_hold is None else storm_hold
        ask = RegionAsk(
            None if hold == FOREVER else hold,
            found.keep_events if keep_events is None else keep_events,
            reason,
        )
        found = client.send(RegionView, "POST", "/api/region", ask)
    if json_:
        as_json(found)
        return
    hold_text = "forever" if found.storm_hold_ms is None else write_duration(found.storm_hold_ms)
    table(("SETTING", "VALUE"), (("storm-hold", hold_text), ("keep-events", str(found.keep_events))), "")
