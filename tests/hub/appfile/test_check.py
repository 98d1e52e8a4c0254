"""Apps from the wire are judged by the same rules: total, and of one mind with the parser."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_hub.appfile import Parsed, check_app, parse
from skerry_hub.appfile.document import to_document
from skerry_hub.appfile.draft import read_draft
from skerry_hub.appfile.faults import Finding
from skerry_protocol.app import (
    App,
    Artifact,
    Availability,
    Ha,
    Health,
    OnReturn,
    Overlap,
    Place,
    Resources,
    Restart,
    Volume,
)
from skerry_protocol.ids import AppName
from skerry_protocol.network import AppNetwork, Port, Transport

from .documents import sound_apps, toml

GOOD = App(AppName("x"), ("/bin/x",), Availability.BEST_EFFORT)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.integers(-2, 100_000)
TEXTS = st.text(max_size=10) | st.sampled_from(
    ["/x", "./x", "a", "../a", "\0", "daily", "host-network", "http://h/"]
)
MAPS = st.dictionaries(TEXTS, TEXTS, max_size=3)


def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


WIRE = st.builds(
    App,
    name=TEXTS,
    run=st.lists(TEXTS, max_size=3).map(tuple),
    availability=st.sampled_from(Availability),
    artifacts=st.dictionaries(TEXTS | st.just("any"), st.builds(Artifact, TEXTS, NUMBERS), max_size=2),
    replicas=NUMBERS,
    per_node=st.booleans(),
    ha=maybe(st.builds(Ha, NUMBERS, st.sampled_from(Overlap), st.sampled_from(OnReturn))),
    stop_timeout_ms=NUMBERS,
    place=st.builds(
        Place, st.dictionaries(TEXTS, st.lists(TEXTS, max_size=2).map(tuple), max_size=2), maybe(TEXTS)
    ),
    resources=st.builds(Resources, *[maybe(NUMBERS)] * 5),
    health=maybe(
        st.builds(Health, maybe(TEXTS), maybe(NUMBERS), maybe(st.lists(TEXTS).map(tuple)), NUMBERS, NUMBERS)
    ),
    volumes=st.dictionaries(TEXTS, st.builds(Volume, TEXTS, st.booleans()), max_size=2),
    files=MAPS,
    env=MAPS,
    schedule=maybe(TEXTS),
    after=st.lists(TEXTS, max_size=3).map(tuple),
    user=maybe(TEXTS),
    workdir=maybe(TEXTS),
    restart=st.sampled_from(Restart),
    sandbox_allow=st.lists(TEXTS, max_size=3).map(tuple),
    network=st.builds(
        AppNetwork,
        st.dictionaries(TEXTS, st.builds(Port, NUMBERS, st.sampled_from(Transport)), max_size=2),
        st.lists(TEXTS, max_size=2).map(tuple),
        st.dictionaries(TEXTS, NUMBERS, max_size=2),
        st.booleans(),
    ),
)


def test_a_good_app_has_no_faults() -> None:
    assert check_app(GOOD) == []


@given(WIRE)
@settings(max_examples=200, deadline=None)
def test_any_app_is_judged(app: App) -> None:
    for fault in check_app(app):
        assert fault.line is None
        assert str(fault).isprintable()


@given(st.data(), sound_apps())
@settings(max_examples=150, deadline=None)
def test_an_app_is_read_back_from_its_table_unchanged(data: st.DataObject, table: dict[str, object]) -> None:
    """So what the check judged is the app itself, not a likeness."""
    got = parse(data.draw(toml({"app": {"x": table}})), "f")
    assert isinstance(got, Parsed)
    app = got.apps[0]
    found: list[Finding] = []
    draft = read_draft(app.name, to_document(app), ("app", "x"), found.append)
    assert draft is not None
    assert draft.app == app
    assert found == []


@given(WIRE)
@settings(max_examples=200, deadline=None)
def test_an_app_without_faults_is_read_back_unchanged(app: App) -> None:
    if not check_app(app):
        draft = read_draft(app.name, to_document(app), ("app",), lambda _: None)
        assert draft is not None
        assert draft.app == app


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "X"}, "app.X"),
        ({"run": ()}, "app.x.run"),
        ({"run": ("./x",)}, "app.x.run[0]"),
        ({"replicas": -1}, "app.x.replicas"),
        ({"replicas": 2, "per_node": True}, "app.x.replicas"),
        ({"availability": Availability.HA}, "app.x.ha"),
        ({"ha": Ha(60_000)}, "app.x.ha"),
        ({"ha": Ha(-5)}, "app.x.ha.lost_after"),
        ({"availability": Availability.HA, "ha": Ha(15_000, Overlap.FORBID)}, "app.x.ha.lost_after"),
        (
            {"availability": Availability.HA, "ha": Ha(60_000), "volumes": {"d": Volume("/d")}},
            "app.x.volumes.d",
        ),
        ({"stop_timeout_ms": 0}, "app.x.stop_timeout"),
        ({"stop_timeout_ms": -1}, "app.x.stop_timeout"),
        ({"resources": Resources(memory_bytes=-1)}, "app.x.resources.memory"),
        ({"resources": Resources(cpu_milli=0)}, "app.x.resources.cpu"),
        ({"health": Health()}, "app.x.health"),
        ({"health": Health(tcp=80, http="http://a/")}, "app.x.health"),
        ({"artifacts": {"any": Artifact("..", 1)}}, "app.x.artifact.any.sha256"),
        ({"artifacts": {"any": Artifact("0" * 64, 0)}}, "app.x.artifact.any.size"),
        ({"env": {"SKERRY_CLAIM": "7"}}, "app.x.env.SKERRY_CLAIM"),
        ({"files": {"../x": ""}}, 'app.x.files."../x"'),
        ({"schedule": ""}, "app.x.schedule"),
        ({"workdir": ""}, "app.x.workdir"),
        ({"user": ""}, "app.x.user"),
        ({"place": Place(spread="")}, "app.x.place.spread"),
        ({"sandbox_allow": ("all",)}, "app.x.sandbox.allow[0]"),
    ],
    ids=str,
)
def test_each_field_of_the_wire_is_judged(change: dict[str, object], field: str) -> None:
    assert field in {fault.field for fault in check_app(msgspec.structs.replace(GOOD, **change))}
