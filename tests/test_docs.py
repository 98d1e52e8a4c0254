"""The documents tell the truth: what they must name is read from the code."""

import inspect
import re
from pathlib import Path

import msgspec
import pytest
from skerry_protocol import messages, signing, subjects

ROOT = Path(__file__).parent.parent
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
MESSAGES = sorted(
    name
    for module in (messages, signing)
    for name, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
)


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_is_documented(name: str) -> None:
    assert re.search(rf"`{name}`", PROTOCOL), f"docs/protocol.md does not name {name}"


@pytest.mark.parametrize("kind", ["assign", "beat", "report", "ask", "nudge"])
def test_every_subject_is_documented(kind: str) -> None:
    subject = getattr(subjects, kind)("<region>", "<node>")
    assert f"`{subject}`" in PROTOCOL


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / link).exists()
    ]
    assert not broken
