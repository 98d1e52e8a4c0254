"""How a command of the simulator begins: in a process whose sets have one order, with the stand-ins in place."""

from __future__ import annotations

import logging
import os
import sys


def start(module: str, verbose: bool = False) -> None:
    """Returns in a process of which each run is the same; that may be another one than before."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        again = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL, format="%(message)s")
    from . import inline_sqlite, paths  # noqa: PLC0415 - nothing is loaded twice because of the hash seed

    paths.install()
    inline_sqlite.install()
