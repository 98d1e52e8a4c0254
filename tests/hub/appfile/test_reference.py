"""docs/app-file.md says what the rows say, and its example is an app file."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry_hub.appfile import Parsed, parse
from skerry_hub.appfile.app_fields import APP
from skerry_hub.appfile.fields import HA, HEALTH
from skerry_hub.appfile.reference import reference

PAGE = (Path(__file__).parents[3] / "docs/app-file.md").read_text(encoding="utf-8")


def test_the_reference_in_the_docs_is_the_one_of_the_rows() -> None:
    assert PAGE.endswith("## All fields\n\n" + reference())


def test_the_example_in_the_docs_is_read() -> None:
    example = PAGE.split("```toml\n")[1].split("```")[0]
    assert isinstance(parse(example, "docs/app-file.md"), Parsed)


DEFAULTS = [
    (section, row.key, row.default)
    for section, rows in (("", APP.rows), ("ha", HA.rows), ("health", HEALTH.rows))
    for row in rows
    if row.default and " " not in row.default
]


@pytest.mark.parametrize(
    ("section", "key", "default"), DEFAULTS, ids=[f"{one[0]}.{one[1]}" for one in DEFAULTS]
)
def test_a_default_is_what_it_is_said_to_be(section: str, key: str, default: str) -> None:
    base = '[app.x]\nrun = ["/x"]\navailability = "ha"\nha.lost_after = "60s"\nhealth.tcp = 80\n'
    said = f"{section}.{key} = {default}" if section else f"{key} = {default}"
    left_out = parse(base, "f")
    assert isinstance(left_out, Parsed)
    assert parse(base + said, "f") == left_out
