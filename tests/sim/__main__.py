"""`python -m tests.sim FIRST LAST` plays these seeds and prints, for each that broke a promise, what happened.

`--history` prints it for all; `--first` ends at the first breach; `--without RULE` takes away a safety rule (see
`rules`) and `--aim RULE` chooses blows that hunt for it (see `adversary`). `--shrink` cuts the blows of a seed that
broke a promise down to those that are needed, and prints them and their short history; `--plan` prints a seed's blows,
`--blows FILE` plays these instead. Exit code 1 where a promise was broken. A seed plays the same each time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .start import start


def main() -> int:
    """An exit code."""
    asked = _asked()
    start("tests.sim", asked.verbose)
    from . import adversary, rules  # noqa: PLC0415 - all that touches Skerry comes after the stand-ins
    from .run import Result, run  # noqa: PLC0415
    from .shrink import shrunk  # noqa: PLC0415

    for rule in asked.without:
        rules.take_away(rule)
    blows = None
    if asked.blows:
        try:
            blows = adversary.read_plan(asked.blows.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            print(f"cannot read {asked.blows}: {error}")
            return 2

    def played(seed: int, plan: list[adversary.Blow] | None) -> Result:
        return run(seed, plan, aim=asked.aim)

    broken = 0
    for seed in range(asked.first_seed, asked.last_seed + 1):
        result = played(seed, blows)
        if result.breaches and asked.shrink:
            kept = shrunk(result.blows, lambda fewer, seed=seed: bool(played(seed, fewer).breaches))  # type: ignore[misc]
            result = played(seed, kept)
        if result.breaches or asked.history:
            print(f"seed {seed}", *result.history, "", sep="\n", flush=True)
        if asked.plan or (result.breaches and asked.shrink):
            print(*result.blows, "", sep="\n", flush=True)
        broken += bool(result.breaches)
        if broken and asked.first:
            break
    print(f"{broken} of seeds {asked.first_seed} to {asked.last_seed} broke a promise")
    return 1 if broken else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim")
    parser.add_argument("first_seed", type=int)
    parser.add_argument("last_seed", type=int)
    for flag in ("--history", "--verbose", "--first", "--shrink", "--plan"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--without", metavar="RULE", action="append", default=[])
    parser.add_argument("--aim", metavar="RULE", default="")
    parser.add_argument("--blows", metavar="FILE", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
