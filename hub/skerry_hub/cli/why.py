"""`skerry why APP`."""

from __future__ import annotations

import click

from .options import app_argument, json_option


@click.command()
@app_argument
@json_option
def why(app: str, json_: bool) -> None:
    """Say why an app is as it is, step by step."""
