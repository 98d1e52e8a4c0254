"""The table of change classes knows every field of an app, and the worst field counts."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from skerry_protocol.app import App, Artifact, Availability, Ha, Health, Overlap, Place, Resources, Volume
from skerry_protocol.change import CLASSES, ChangeClass, changed_fields, classify
from skerry_protocol.ids import AppName

WEB = App(AppName("web"), ("./serve",), Availability.HA, ha=Ha(60_000))
DB = replace(WEB, ha=Ha(60_000, Overlap.FORBID))


def test_every_field_has_a_class() -> None:
    assert set(App.__struct_fields__) <= {name.partition(".")[0] for name in CLASSES}
    assert all(name.partition(".")[0] in App.__struct_fields__ for name in CLASSES)


@pytest.mark.parametrize(
    ("old", "new", "fields", "expected"),
    [
        (WEB, WEB, (), ChangeClass.NONE),
        (WEB, replace(WEB, replicas=3), ("replicas",), ChangeClass.HUB),
        (WEB, replace(WEB, place=Place(spread="site")), ("place.spread",), ChangeClass.HUB),
        (WEB, replace(WEB, resources=Resources(cpu_milli=5)), ("resources.cpu_milli",), ChangeClass.LIVE),
        (WEB, replace(WEB, health=Health(tcp=80)), ("health",), ChangeClass.LIVE),
        (WEB, replace(WEB, env={"A": "1"}), ("env.A",), ChangeClass.RESTART),
        (WEB, replace(WEB, env={"A": "1"}, replicas=2), ("env.A", "replicas"), ChangeClass.RESTART),
        (WEB, replace(WEB, volumes={"data": Volume("/d")}), ("volumes.data",), ChangeClass.RESTART),
        (WEB, replace(WEB, ha=Ha(90_000)), ("ha.lost_after_ms",), ChangeClass.HUB),
        (DB, replace(DB, ha=Ha(90_000, Overlap.FORBID)), ("ha.lost_after_ms",), ChangeClass.RESTART),
        (WEB, DB, ("ha.overlap",), ChangeClass.RESTART),
        (
            WEB,
            replace(WEB, ha=None, availability=Availability.BEST_EFFORT),
            ("availability", "ha"),
            ChangeClass.HUB,
        ),
        (
            DB,
            replace(DB, ha=None, availability=Availability.BEST_EFFORT),
            ("availability", "ha"),
            ChangeClass.RESTART,
        ),
    ],
)
def test_classes(old: App, new: App, fields: tuple[str, ...], expected: ChangeClass) -> None:
    assert changed_fields(old, new) == fields
    assert classify(old, new) is expected


def test_only_the_archive_of_the_machine_counts() -> None:
    one, two = Artifact("a" * 64, 1), Artifact("b" * 64, 1)
    old = replace(WEB, artifacts={"x86_64": one, "aarch64": one})
    new = replace(WEB, artifacts={"x86_64": one, "aarch64": two})
    assert classify(old, new, "x86_64") is ChangeClass.NONE
    assert classify(old, new, "aarch64") is ChangeClass.RESTART
    assert classify(old, new) is ChangeClass.RESTART
