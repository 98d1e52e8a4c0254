"""Runs the demo from an empty machine to the end, and keeps the mesh up for playing if it is asked to."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from .. import mesh
from ..client import Lab
from ..errors import LabError
from . import acts
from .badplan import bad_plan
from .stage import Stage

NODES = ("n1", "n2", "n3")
EXIT_TERMINATED = 128 + signal.SIGTERM


def run(lab: Lab, keep: bool) -> bool:
    """Whether every check held. The lab is gone afterwards, however this ends; one that was up before is left alone."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    stage = Stage(lab, NODES)
    stage.act("A hub and three machines, each its own systemd, on a small internet of their own")
    stage.timed("the machines have booted", lambda: lab.up(NODES, hub=False, tied=True))
    with lab:
        mesh.make_hub(lab)
        stage.timed("the hub runs", lab.hub_start)
        try:
            _perform(stage, lab.paths.store / "backup")
        except LabError as error:
            stage.check(False, f"the rehearsal goes on to its end: {error}")
        _sum_up(stage)
        if keep and not stage.failed:
            _play(lab)
        return not stage.failed


def _perform(stage: Stage, file: Path) -> None:
    acts.join(stage)
    acts.apply(stage)
    acts.backup(stage, file)
    lost = acts.cut(stage)
    acts.heal(stage, lost)
    acts.hub_back(stage, *acts.cold_boot(stage))
    acts.old_backup(stage, file)
    acts.talk(stage)
    bad_plan(stage)


def _sum_up(stage: Stage) -> None:
    click.echo()
    if stage.failed:
        click.secho(f"{len(stage.failed)} checks did not hold, {stage.held} did:", fg="red", bold=True)
        for text in stage.failed:
            click.echo(f"  {text}")
    else:
        click.secho(f"all {stage.held} checks held", fg="green", bold=True)


def _play(lab: Lab) -> None:
    """The mesh stays until Ctrl-C."""
    click.echo("\nThe mesh is up. In another shell:")
    for line in ("apps", "why ledger", "lab cut n1", "lab shell n2", "events -f"):
        click.echo(f"  .venv/bin/skerry {line}")
    click.echo("Ctrl-C ends it and leaves nothing behind.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        click.echo()
