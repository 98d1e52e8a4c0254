"""An operator's TOML to apps, or everything that is wrong with it. Total: any bytes give `Parsed` or `Faults`.

No I/O: which archives are needed is told, reading and pushing them is the caller's, who then asks `with_artifacts`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter

import msgspec
from msgspec import Struct, field

from skerry_protocol.app import App, Artifact
from skerry_protocol.ids import AppName

from . import texts
from .app_fields import APP
from .document import to_document
from .draft import Draft, read_draft
from .faults import Fault, Faults, Finding, Findings, Path, Say, TooMany, did_you_mean, placed, quoted, show
from .fields import APPS_MAX
from .kinds import Schema
from .lines import DEPTH_MAX, Scan, scan
from .rules import broken

TEXT_MAX = 1 << 20
CYCLES_MAX = 20
_TOML_LINE = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")


class Parsed(Struct, frozen=True):
    """The apps, in the file's order. `artifacts`: archives that are still to be pushed, path by architecture."""

    apps: tuple[App, ...]
    artifacts: dict[AppName, dict[str, str]] = field(default_factory=dict)


def parse(text: str | bytes, name: str) -> Parsed | Faults:
    """The file `name` (only shown) with this content."""
    content = _decoded(text)
    if isinstance(content, Fault):
        return Faults(name, (content,))
    seen = scan(content)
    document = _toml(content, seen)
    if isinstance(document, Fault):
        return Faults(name, (document,))
    findings = Findings()
    drafts: list[Draft] = []
    with suppress(TooMany):
        drafts = _read(document, findings.say)
    if findings:
        return Faults(name, placed(findings, seen.lines))
    pending = {draft.app.name: draft.paths for draft in drafts if draft.paths}
    return Parsed(tuple(draft.app for draft in drafts), pending)


def check_app(app: App) -> list[Fault]:
    """All that is wrong with an app that came over the wire, by the same rules; empty if nothing is."""
    findings = Findings()
    path: Path = ("app", str(app.name))
    with suppress(TooMany):
        texts.name().read(app.name, path, findings.say)
        draft = read_draft(app.name, to_document(app), path, findings.say)
        for finding in broken(draft, path) if draft else ():
            findings.say(finding)
    return list(placed(findings, None))


def with_artifacts(app: App, pushed: Mapping[str, Artifact]) -> App:
    """`app` with the archives that were pushed for it, by architecture."""
    return msgspec.structs.replace(app, artifacts=app.artifacts | dict(pushed))


def json_schema() -> Schema:
    """The file as JSON Schema (draft 2020-12), for editors. What it refuses, `parse` refuses; not the reverse."""
    apps: Schema = {
        "type": "object",
        "description": "Apps by name.",
        "propertyNames": texts.name().schema(),
        "additionalProperties": APP.schema(),
        "minProperties": 1,
        "maxProperties": APPS_MAX,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Skerry app file",
        "description": "Apps of a Skerry region. TOML.",
        "type": "object",
        "properties": {"app": apps},
        "required": ["app"],
        "additionalProperties": False,
    }


def _decoded(text: str | bytes) -> str | Fault:
    """The text with line ends "\\n", without a byte order mark."""
    try:
        data = text.encode() if isinstance(text, str) else text
        if len(data) > TEXT_MAX:
            return Fault(None, "", f"{len(data)} bytes", "1 MiB at most", "put large content into artifacts")
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return Fault(line, "", f"the byte 0x{error.object[error.start]:02x}", "a text in UTF-8")
    except UnicodeEncodeError:
        return Fault(None, "", "a lone surrogate", "a text in UTF-8")


def _toml(content: str, seen: Scan) -> dict[str, object] | Fault:
    if seen.too_deep and seen.stopped is not None:
        return Fault(
            seen.line_at(seen.stopped), "", "deeper nesting", f"at most {DEPTH_MAX} keys below each other"
        )
    # What the scanner did not come through is not offered: its bounds would not hold there.
    offered = content if seen.stopped is None else content[: _end_of_line(content, seen.stopped)]
    try:
        document = tomllib.loads(offered)
    except (ValueError, RecursionError, OverflowError) as error:
        return _toml_fault(error, offered)
    if seen.stopped is not None:
        return Fault(seen.line_at(seen.stopped), "", "text that is no TOML", "TOML (https://toml.io)")
    return document


def _end_of_line(content: str, offset: int) -> int:
    end = content.find("\n", offset)
    return len(content) if end < 0 else end


def _toml_fault(error: Exception, offered: str) -> Fault:
    message = str(error).partition("\n")[0]
    place = _TOML_LINE.search(message)
    if place is None:  # a number or a date that Python cannot hold: tomllib does not say where
        return Fault(None, "", "a value that cannot be read", "TOML (https://toml.io)", message[:100])
    line = int(place[1]) if place[1] else offered.count("\n") + 1
    reason = message[: place.start()].encode("ascii", "backslashreplace").decode()[:200]
    return Fault(line, "", "text that is no TOML", "TOML (https://toml.io)", reason)


def _read(document: dict[str, object], say: Say) -> list[Draft]:
    apps = _apps(document, say)
    drafts = []
    for name, table in apps.items():
        path: Path = ("app", name)
        texts.name().read(name, path, say)
        draft = read_draft(name, table, path, say)
        if draft is not None:
            for finding in broken(draft, path):
                say(finding)
            drafts.append(draft)
    for finding in _cycles(drafts):
        say(finding)
    return drafts


def _apps(document: dict[str, object], say: Say) -> dict[str, object]:
    for key, value in document.items():
        if key != "app":
            table = isinstance(value, dict) and not did_you_mean(key, ["app"])
            hint = f"apps are tables [app.NAME]: [app.{key}]" if table else "did you mean app?"
            say(Finding((key,), f"the unknown key {quoted(key)}", "app alone at the top", hint))
    apps = document.get("app")
    if apps is None and len(document):
        return {}
    if not isinstance(apps, dict) or not apps:
        found = "nothing" if apps is None else show(apps)
        say(Finding(("app",), found, "at least one app, a table [app.NAME]"))
        return {}
    if len(apps) > APPS_MAX:
        say(Finding(("app",), f"{len(apps)} apps", f"at most {APPS_MAX} in one file"))
        return {}
    return apps


def _cycles(drafts: list[Draft]) -> list[Finding]:
    """Circles of `after` within the file, each said once, at one of its apps."""
    names = {draft.app.name for draft in drafts}
    waits = {draft.app.name: set(draft.app.after) & names - {draft.app.name} for draft in drafts}
    found: list[Finding] = []
    while len(found) < CYCLES_MAX:
        try:
            TopologicalSorter(waits).prepare()
        except CycleError as error:
            circle: list[AppName] = error.args[1][:-1]
            start = min(circle)
            shown = ", ".join(circle[:10]) + (" ..." if len(circle) > 10 else "")
            found.append(
                Finding(("app", start, "after"), f"a circle of {shown}", "an order in which to start")
            )
            waits[start] = set()
        else:
            break
    return found
