"""`python -m tests.bench [NAME…] [--quick] [--json FILE]`: measures figures one after the other and shows them.

A goal that is not met is shown, and is no error. Exit code 1: a figure could not be measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
import traceback
from pathlib import Path

from .figures import FIGURES, Effort, Figure, UnknownFigure, chosen
from .measures import Row
from .showing import as_json, table


def main() -> int:
    args = _arguments()
    try:
        figures = chosen(args.figures)
    except UnknownFigure as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    results: dict[str, tuple[Row, ...]] = {}
    failed = False
    for figure in figures:
        rows = _measured(figure, Effort(args.quick))
        failed |= rows is None
        results[figure.name] = rows or ()
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_bytes(as_json(_machine(args.quick), results))
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    there = "\n".join(f"  {figure.name:<10} {figure.about}" for figure in FIGURES)
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measure Skerry beside what is physically there.",
        epilog=f"figures:\n{there}", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("figures", nargs="*", metavar="NAME", help="which figures; all where none is named")
    parser.add_argument("--quick", action="store_true", help="shorter windows and fewer repeats")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    return parser.parse_args()


def _measured(figure: Figure, effort: Effort) -> tuple[Row, ...] | None:
    """The rows, shown. None where it could not be measured; what was measured until then is shown all the same."""
    print(f"\n{figure.name}: {figure.about}", flush=True)
    rows: list[Row] = []
    began, whole = time.monotonic(), True
    try:
        if figure.lab and os.geteuid() != 0:
            raise PermissionError("it boots nodes and needs root")
        rows.extend(figure.measure(effort))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other figures are measured
        traceback.print_exc()
        print(f"bench: cannot measure {figure.name}: {error}", file=sys.stderr)
        whole = False
    print(table(rows))
    print(f"({time.monotonic() - began:.0f} s)", flush=True)
    return tuple(rows) if whole else None


def _machine(quick: bool) -> dict[str, object]:
    return {
        "cores": os.cpu_count(),
        "arch": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "quick": quick,
    }


if __name__ == "__main__":
    sys.exit(main())
