"""The documents tell the truth: what they must name is read from the code, what they show is parsed or run."""

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec
import pytest

from skerry_agent.assignments.accept import Code
from skerry_agent.commands import cli as agent
from skerry_agent.units import policy
from skerry_hub.api import reference
from skerry_hub.api.app import application
from skerry_hub.appfile import Parsed, format_faults, parse
from skerry_hub.cli import settings
from skerry_hub.hub import Hub
from skerry_protocol import messages, signing, subjects
from tests.documents import GENERATED, LINK, PAGES, ROOT, Place, blocks, commands, fault
from tests.test_linters import PURE, SOURCES, modules

PROTOCOL = (ROOT / "docs/protocol.md").read_text()
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()
MAN = (ROOT / "packaging/man/skerry-agent.8").read_text()
MESSAGES = sorted(
    name
    for module in (messages, signing)
    for name, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
)
COMMANDS = sorted({both for page in PAGES if page.name not in GENERATED for both in commands(page)}, key=str)
TOML = [(page, text) for page in PAGES for text in blocks(page, "toml")]


# Commands and examples


@pytest.mark.parametrize(("place", "whole"), COMMANDS, ids=str)
def test_every_command_is_one(place: Place, whole: bool) -> None:
    assert fault(place.text, whole) is None, str(place)


def said_in_code() -> Iterator[tuple[str, str]]:
    """Commands that messages, help texts and docstrings name between single quotes, with what is filled in as X."""
    for module, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            text = _text(node)
            for found in re.findall(r"(?<![\w'])'((?:skerry|skerry-agent|skerry-hub) [^'\n]+)'", text):
                yield module, found


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)  # type: ignore[misc]
    return ""


@pytest.mark.parametrize(("module", "text"), sorted(set(said_in_code())), ids=str)
def test_every_command_that_a_message_names_is_one(module: str, text: str) -> None:
    if "…" not in text:
        assert fault(text, whole=False) is None, f"{module} names '{text}'"


@pytest.mark.parametrize(("page", "text"), TOML, ids=lambda value: getattr(value, "name", str(value)[:20]))
def test_every_toml_example_is_taken(page: Path, text: str) -> None:
    table = tomllib.loads(text)
    if "hub" in table:
        assert settings.parse(text, page.name).hubs
    elif "resources" in table or "allow" in table:
        assert isinstance(policy.read(text), policy.Policy)
    else:
        found = parse(text.encode(), page.name)
        assert isinstance(found, Parsed), format_faults(found)


def test_links_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in PAGES
        for link in LINK.findall(page.read_text())
        if ":" not in link and not leads(page, link)
    ]
    assert not broken


def leads(page: Path, link: str) -> bool:
    """Whether the file is there, and the heading in it."""
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    if not target.exists():
        return False
    headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE) if anchor else []
    return not anchor or anchor in {
        re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings
    }


def test_every_page_is_reached_from_the_readme() -> None:
    seen, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            links = [link for link in LINK.findall(page.read_text()) if ":" not in link]
            waiting += [page.parent / link.partition("#")[0] for link in links]
    assert not {page.relative_to(ROOT) for page in PAGES if page.resolve() not in seen} - {
        Path("CHANGELOG.md")
    }


# Modules


def section(package: str) -> str:
    """What the page says of one package."""
    return next(part for part in ARCHITECTURE.split("\n## ") if f"/{package}" in part.splitlines()[0])


# Folders with a page or a port of their own: the page says what each is for, not what is in it.
WHOLE = {"api", "appfile", "cli", "lab", "store", "systemd"}


def units(folder: Path) -> set[str]:
    """The modules of a package and its folders."""
    found = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    for inner in (path.parent for path in folder.glob("*/__init__.py")):
        found |= {inner.name} | (units(inner) if inner.name not in WHOLE else set())
    return found


@pytest.mark.parametrize("package", SOURCES)
def test_the_architecture_names_every_module_and_no_other(package: str) -> None:
    rows = [line.split("|")[1] for line in section(package).splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)/?`", row)}
    assert named == units(SOURCES[package])


@pytest.mark.parametrize("package", ["skerry_agent", "skerry_hub"])
def test_the_architecture_sets_the_cores_apart(package: str) -> None:
    rows = [line.split("|")[1] for line in section(package).splitlines() if line.startswith("| ")]
    cores = {name for row in rows for name in re.findall(r"\*`([a-z_]+)`\*", row)}
    pure = [name.split(".")[1:] for name in PURE if name.startswith(f"{package}.")]
    assert cores == {parts[-1] for parts in pure if parts[0] not in WHOLE}


# The protocol


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_is_documented(name: str) -> None:
    assert re.search(rf"`{name}`", PROTOCOL), f"docs/protocol.md does not name {name}"


@pytest.mark.parametrize("kind", ["assign", "beat", "report", "ask", "nudge"])
def test_every_subject_is_documented(kind: str) -> None:
    subject = getattr(subjects, kind)("<region>", "<node>")
    assert f"`{subject}`" in PROTOCOL


@pytest.mark.parametrize("code", Code)
def test_every_refusal_is_documented(code: Code) -> None:
    assert f"| `{code}` |" in PROTOCOL
    assert f"`refused-{code}`" in OPERATIONS


# The API


def test_the_api_page_is_up_to_date() -> None:
    page = (ROOT / "docs/api.md").read_text()
    assert page == reference.render(), "write it anew: python -m skerry_hub.api.reference > docs/api.md"


def test_every_route_is_in_the_openapi() -> None:
    paths = application(cast(Hub, None)).openapi_schema.to_schema()["paths"]
    shown = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    assert shown == {(row.method, row.path) for row in reference.rows()}


@pytest.mark.parametrize("row", reference.rows(), ids=lambda row: f"{row.method} {row.path}")
def test_every_route_says_what_it_does_and_who_may(row: reference.Row) -> None:
    assert row.about.endswith(".")
    assert bool(row.role) == row.path.startswith("/api/")


# Events and conditions


def first_words(calls: set[str]) -> Iterator[tuple[str, bool]]:
    """The first argument of calls by these names: a code, or (True) the beginning of one that is put together."""
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and _called(node) in calls:
                yield from _code(node.args[0])


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _code(word: ast.expr) -> Iterator[tuple[str, bool]]:
    if isinstance(word, ast.Constant) and isinstance(word.value, str):
        yield word.value, False
    elif isinstance(word, ast.JoinedStr) and isinstance(word.values[0], ast.Constant):
        yield str(word.values[0].value), True


def conditions() -> Iterator[tuple[str, bool]]:
    """The keys under which a node keeps its conditions."""
    for module, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())) if module.startswith("skerry_agent") else ():
            if isinstance(node, ast.Subscript) and "conditions" in ast.unparse(node.value):
                yield from _code(node.slice)


def documented(code: str, begins: bool, text: str) -> bool:
    return re.search(rf"`{re.escape(code)}{'' if not begins else '[a-z-]+'}`", text) is not None


EVENTS = sorted(set(first_words({"Happened", "_say", "event", "Event"})))


def test_events_are_found() -> None:
    assert {"node-silent", "storm", "restarted", "outbox-full"} <= {code for code, _ in EVENTS}


@pytest.mark.parametrize(("code", "begins"), EVENTS)
def test_every_event_is_documented(code: str, begins: bool) -> None:
    assert documented(code, begins, OPERATIONS.split("## Events")[1]), (
        f"docs/operations.md does not name {code}"
    )


@pytest.mark.parametrize(("code", "begins"), sorted(set(conditions())))
def test_every_condition_is_documented(code: str, begins: bool) -> None:
    assert documented(code, begins, OPERATIONS.split("## Conditions")[1]), (
        f"docs/operations.md does not name {code}"
    )


# The man page


@pytest.mark.parametrize("verb", sorted(agent.commands))
def test_the_man_page_has_every_verb_and_option(verb: str) -> None:
    assert f".B skerry-agent {verb}" in MAN
    assert re.search(rf"\.TP\n\.BI? {verb}\b", MAN)
    options = [name for param in agent.commands[verb].params for name in param.opts if name.startswith("--")]
    assert not [name for name in options if name.replace("-", r"\-") not in MAN]


def test_units_name_man_pages_that_are_there() -> None:
    wanted = {
        f"{name}.{section}"
        for unit in (ROOT / "packaging/units").iterdir()
        for name, section in re.findall(
            r"^Documentation=man:([\w-]+)\((\d)\)$", unit.read_text(), re.MULTILINE
        )
    }
    assert wanted == {path.name for path in (ROOT / "packaging/man").iterdir()}


def test_decisions_are_short_and_listed_in_order() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("0*.md"))
    for number, page in enumerate(pages, 1):
        lines = page.read_text().splitlines()
        assert page.name.startswith(f"{number:04}-")
        assert lines[0].startswith(f"# {number}. ")
        assert len(lines) <= 25
