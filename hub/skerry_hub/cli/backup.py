"""`skerry backup FILE`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from .errors import CliError
from .options import connect, json_option
from .show import as_json, say


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def backup(file: Path, json_: bool) -> None:
    """Write a consistent backup of the running hub to FILE.

    It is put back with 'skerry-hub restore FILE'. FILE is never overwritten; the hub's keys are not in it.
    """
    if file.exists():
        raise CliError(f"cannot write {file}: it is there already", "choose another name")
    size = write(file)
    if json_:
        as_json({"file": str(file), "bytes": size})
    else:
        say(f"wrote {file} ({size} bytes); to put it back: stop the hub, then skerry-hub restore {file}")


def write(file: Path) -> int:
    """Downloads to `file`, which appears only when all of it is on the disk; its size in bytes."""
    hub = connect()
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    except OSError as error:
        raise CliError(f"cannot write {file}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as target:
            size = hub.download("/api/backup", target)
            target.flush()
            os.fsync(target.fileno())
        os.link(name, file)  # unlike a rename, this overwrites nothing
    except FileExistsError as error:
        raise CliError(f"cannot write {file}: it is there already", "choose another name") from error
    except OSError as error:
        raise CliError(f"cannot write {file}: {error.strerror or error}") from error
    finally:
        Path(name).unlink()
    return size
