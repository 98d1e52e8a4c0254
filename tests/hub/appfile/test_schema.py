"""The JSON Schema says of a file what the parser says, as far as a schema can."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_hub.appfile import Parsed, json_schema, parse

from .documents import any_apps, sound_apps, toml
from .schema import fits

SCHEMA = json_schema()
BASE: dict[str, object] = {"run": ["/bin/x"], "availability": "best-effort"}
HA: dict[str, object] = {"run": ["/bin/x"], "availability": "ha"}
STRUCTURAL: list[tuple[str, dict[str, object]]] = [
    ("unknown key", BASE | {"replica": 1}),
    ("no run", {"availability": "best-effort"}),
    ("no availability", {"run": ["/bin/x"]}),
    ("run as text", BASE | {"run": "/bin/x"}),
    ("run empty", BASE | {"run": []}),
    ("another availability", BASE | {"availability": "HA"}),
    ("ha without its table", HA),
    ("its table without ha", BASE | {"ha": {"lost_after": "60s"}}),
    ("ha without lost_after", HA | {"ha": {}}),
    ("per_node with ha", HA | {"ha": {"lost_after": "60s"}, "per_node": True}),
    ("per_node with replicas", BASE | {"per_node": True, "replicas": 1}),
    ("replicas below", BASE | {"replicas": -1}),
    ("replicas above", BASE | {"replicas": 10_001}),
    ("replicas as flag", BASE | {"replicas": True}),
    ("bare duration", BASE | {"stop_timeout": 10}),
    ("duration of another form", BASE | {"stop_timeout": "10 s"}),
    ("size of another form", BASE | {"resources": {"memory": "1MB"}}),
    ("processors as text", BASE | {"resources": {"cpu": "1"}}),
    ("two checks", BASE | {"health": {"tcp": 1, "exec": ["/x"]}}),
    ("no check", BASE | {"health": {}}),
    ("port", BASE | {"health": {"tcp": 65_536}}),
    ("health with schedule", BASE | {"schedule": "daily", "health": {"tcp": 1}}),
    ("file name", BASE | {"files": {"../x": ""}}),
    ("env name", BASE | {"env": {"A-B": ""}}),
    ("env value", BASE | {"env": {"A": 1}}),
    ("word of the sandbox", BASE | {"sandbox": {"allow": ["everything"]}}),
    ("word twice", BASE | {"sandbox": {"allow": ["devices", "devices"]}}),
    ("architecture", BASE | {"artifact": {"amd64": "x"}}),
    ("half of a reference", BASE | {"artifact": {"sha256": "0" * 64}}),
    ("label", BASE | {"place": {"labels": {"a": []}}}),
    ("port's number", BASE | {"ports": {"a": 0}}),
    ("port's transport", BASE | {"ports": {"a": "53/icmp"}}),
    ("port's name", BASE | {"ports": {"A": 53}}),
    ("reached twice", BASE | {"reaches": ["db", "db"]}),
    ("published port", BASE | {"ports": {"a": 1}, "publish": {"a": "80"}}),
    ("egress as text", BASE | {"egress": "no"}),
    ("volume", BASE | {"volumes": {"d": {"empty_elsewhere": True}}}),
]


def test_the_schema_is_json_with_a_description_for_every_field() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"

    def described(schema: object) -> None:
        if isinstance(schema, dict):
            for one in schema.get("properties", {}).values() if schema.get("type") == "object" else ():
                assert one.get("description")
            for inner in schema.values():
                described(inner)
        elif isinstance(schema, list):
            for inner in schema:
                described(inner)

    described(SCHEMA)


@given(st.data(), any_apps() | sound_apps())
@settings(max_examples=250, deadline=None)
def test_what_the_parser_takes_the_schema_takes(data: st.DataObject, table: dict[str, object]) -> None:
    text = data.draw(toml({"app": {"x": table}}))
    if isinstance(parse(text, "f"), Parsed):
        assert fits(SCHEMA, tomllib.loads(text))


@given(sound_apps())
@settings(max_examples=100, deadline=None)
def test_sound_apps_are_taken_by_both(table: dict[str, object]) -> None:
    document = {"app": {"x": table}}
    assert fits(SCHEMA, json.loads(json.dumps(document)))


@pytest.mark.parametrize(("name", "table"), STRUCTURAL, ids=[name for name, _ in STRUCTURAL])
def test_both_refuse_what_is_wrong_in_form(name: str, table: dict[str, object], tmp_path: Path) -> None:
    assert fits(SCHEMA, {"app": {"x": BASE}})
    assert not fits(SCHEMA, {"app": {"x": table}})
    lines = [f"{json.dumps(key)} = {_inline(value)}" for key, value in table.items()]
    assert not isinstance(parse("\n".join(["[app.x]", *lines]), "f"), Parsed)


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)


@pytest.mark.parametrize(
    "document", [{}, {"app": {}}, {"apps": {"x": BASE}}, {"app": {"X": BASE}}, {"app": []}], ids=str
)
def test_both_refuse_what_holds_no_apps(document: dict[str, object]) -> None:
    assert not fits(SCHEMA, document)
    text = "\n".join(f"{key} = {_inline(value)}" for key, value in document.items())
    assert not isinstance(parse(text, "f"), Parsed)
