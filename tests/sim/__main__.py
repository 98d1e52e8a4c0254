"""`python -m tests.sim FIRST LAST` plays these seeds and prints, for each that broke a promise, what happened.

`--history` prints it for all; `--without RULE` takes away a safety rule (see `rules`); `--first` ends at the first
breach. Exit code 1 where a promise was broken. A seed plays the same each time: for that sets of names must have one
order, so the process starts itself again with PYTHONHASHSEED=0.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys

from . import inline_sqlite


def main() -> int:
    """An exit code."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        again = [sys.executable, "-m", "tests.sim", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})
    asked = _asked()
    logging.basicConfig(level=logging.INFO if asked.verbose else logging.CRITICAL, format="%(message)s")
    inline_sqlite.install()
    from . import rules  # noqa: PLC0415 - all that touches Skerry comes after the stand-ins
    from .run import run  # noqa: PLC0415

    if asked.without:
        rules.take_away(asked.without)
    broken = 0
    for seed in range(asked.first_seed, asked.last_seed + 1):
        result = run(seed)
        if result.breaches or asked.history:
            print(f"seed {seed}", *result.history, "", sep="\n", flush=True)
        broken += bool(result.breaches)
        if broken and asked.first:
            break
    print(f"{broken} of seeds {asked.first_seed} to {asked.last_seed} broke a promise")
    return 1 if broken else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim")
    parser.add_argument("first_seed", type=int)
    parser.add_argument("last_seed", type=int)
    for flag in ("--history", "--verbose", "--first"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--without", metavar="RULE", default="")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
