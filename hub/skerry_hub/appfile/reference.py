"""The reference of all fields as Markdown, from the rows. docs/app-file.md ends with it; a test sees to that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from skerry_protocol.sandbox import ABOUT, examples

from .app_fields import APP
from .fields import ARTIFACT_REFERENCE
from .kinds import Kind
from .tables import Row, Section

T = TypeVar("T")


def reference() -> str:
    """A table of every field, then one of the sandbox's words."""
    lines = ["| field | meaning | default |", "|---|---|---|"]
    lines += [f"| `{path}` | {_cell(row.about)} | {_default(row)} |" for path, row in _rows(APP, "")]
    lines += ["", "An archive that the hub already has is named by a table in the place of its path:", ""]
    lines += ["| field | meaning | default |", "|---|---|---|"]
    lines += [
        f"| `{path}` | {_cell(row.about)} | {_default(row)} |" for path, row in _rows(ARTIFACT_REFERENCE, "")
    ]
    lines += ["", "| word of `sandbox.allow` | what it opens |", "|---|---|"]
    lines += [f"| `{word}` | {about} |" for word, about in zip(examples(), ABOUT.values(), strict=True)]
    return "\n".join(lines) + "\n"


def _rows(section: Section[T], prefix: str) -> Iterator[tuple[str, Row]]:
    for row in section.rows:
        yield prefix + row.key, row
        kind: Kind[object] = row.kind
        if isinstance(kind, Section):
            yield from _rows(kind, f"{prefix}{row.key}.")


def _default(row: Row) -> str:
    return (
        "required"
        if row.required
        else f"`{row.default}`"
        if row.default and " " not in row.default
        else row.default
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
