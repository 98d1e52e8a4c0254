"""Runs the demo from an empty machine to the end, and keeps the mesh up for playing if it is asked to."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

import click

from .. import mesh
from ..client import Lab
from . import acts
from .stage import Stage

NODES = ("n1", "n2", "n3")


def run(lab: Lab, keep: bool) -> bool:
    """Whether every check held. The lab is gone afterwards, however this ends."""
    with lab, tempfile.TemporaryDirectory(prefix="skerry-demo-") as folder:
        stage = Stage(lab, NODES)
        stage.act("A hub and three machines, each its own systemd, on a small internet of their own")
        stage.timed("the machines have booted", lambda: lab.up(NODES, hub=False, tied=True))
        mesh.make_hub(lab)
        stage.timed("the hub runs", lab.hub_start)
        _perform(stage, Path(folder) / "backup")
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
    node = acts.cold_boot(stage)
    acts.hub_back(stage, node)
    acts.old_backup(stage, file)


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
