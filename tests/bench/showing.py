"""Rows of benchmarks as a table for people and as JSON for machines. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from .measures import Basis, Row, number

HEAD = ("what", "ours", "beside", "", "ratio", "goal", "")
NUMBERS = {1, 3, 4}


def table(rows: Sequence[Row]) -> str:
    """Lines for a terminal; notes stand under the row that they belong to."""
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = [_line(cells[0], widths)]
    for row, line in zip(rows, cells[1:], strict=True):
        lines.append(_line(line, widths))
        lines += [f"    {row.note}"] if row.note else []
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    mark = "" if row.basis is Basis.MEASURED else f" ({row.basis})"
    beside = row.beside + ("" if row.reference_basis is Basis.MEASURED else f" ({row.reference_basis})")
    return (
        row.what,
        f"{number(row.ours)} {row.unit}{mark}".rstrip(),
        beside,
        "" if row.reference is None else f"{number(row.reference)} {row.unit}".rstrip(),
        "" if row.ratio is None else number(row.ratio),
        "" if row.goal is None else row.goal.words(row.unit),
        "" if row.goal is None else str(row.verdict),
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column in NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def as_json(machine: Mapping[str, object], results: Mapping[str, Iterable[Row]]) -> bytes:
    """One object: the machine, and each figure's rows with ratio and verdict."""
    figures = {
        name: [msgspec.to_builtins(row) | {"ratio": row.ratio, "verdict": str(row.verdict)} for row in rows]
        for name, rows in results.items()
    }
    whole = {"machine": dict(machine), "figures": figures}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
