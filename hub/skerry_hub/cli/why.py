"""`skerry why APP`: the headline, then each copy's way from the operator's word to healthy, with its age and reason."""

from __future__ import annotations

from collections.abc import Iterator

import click

from skerry_protocol.messages import StepState

from ..loops.explain import CopyWhy, Stage, Why
from .client import api
from .options import app_argument, connect, json_option
from .show import age, as_json, painted, safe

WHOLE_MAX = 4  # of more copies than this, those that are healthy get one line
NAME_WIDTH, STATE_WIDTH, AGE_WIDTH = 9, 7, 4


@click.command()
@app_argument
@click.option("--all", "all_", is_flag=True, help="Every step of every copy, also of many healthy ones.")
@json_option
def why(app: str, all_: bool, json_: bool) -> None:
    """Say why an app is as it is, step by step."""
    found = connect().get(Why, api("apps", app, "why"))
    if json_:
        as_json(found)
        return
    for line in lines(found, whole=all_ or len(found.copies) <= WHOLE_MAX):
        click.echo(line)


def lines(found: Why, whole: bool) -> Iterator[str]:
    """The whole answer; what hub and nodes say in it cannot steer the terminal."""
    yield f"{safe(found.app)}: {painted(safe(found.state))}, {safe(found.headline)}"
    by = f" by {found.changer}" if found.changer else ""
    reason = f": {found.reason}" if found.reason else ""
    yield safe(f"revision {found.revision}{by}, {age(found.changed_at_ms)} ago{reason}")
    for copy in found.copies:
        yield ""
        yield f"{safe(title(copy))}: {painted(safe(copy.state))}"
        if whole or copy.state != "healthy":
            yield from map(stage, current(copy.stages))


def title(copy: CopyWhy) -> str:
    """A copy by name, node and what it is to run."""
    where = f" on {copy.node}" if copy.node else ""
    claim = f", claim {copy.claim}" if copy.claim is not None else ""
    return f"{copy.name}{where} (revision {copy.revision}{claim})" if copy.revision else f"{copy.name}{where}"


def current(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The steps up to the one that all others wait for: those after it did not begin."""
    at = next((n for n, one in enumerate(stages) if one.state is not StepState.DONE), len(stages))
    return stages[: at + 1]


def stage(one: Stage) -> str:
    """A step as one line: name, state, age, reason."""
    since = age(one.since_ms) if one.since_ms else ""
    state = painted(one.state.value.ljust(STATE_WIDTH))
    reason = safe(one.reason).replace("\n", " ")
    return f"  {safe(one.name).ljust(NAME_WIDTH)}  {state}  {since.rjust(AGE_WIDTH)}  {reason}".rstrip()
