"""What the hub takes, a node can render: the two lists of what may be in an app do not drift apart."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_agent.units.policy import Policy
from skerry_agent.units.render import NodeFacts, Paths, Rendered, render
from skerry_hub.appfile import Parsed, parse, with_artifacts
from skerry_protocol.app import Artifact
from skerry_protocol.ids import AppName, InstanceId
from skerry_protocol.messages import Instance
from skerry_protocol.sandbox import Kind
from tests.hub.appfile.documents import any_apps, sound_apps, toml

PERMISSIVE = Policy(allow=tuple(str(kind) for kind in Kind))
INSTANCE = Instance(InstanceId("x-0-aaaaaaaaaa"), AppName("x"), 0, 1)


@given(st.data(), sound_apps() | any_apps())
@settings(max_examples=150, deadline=None)
def test_every_app_that_is_taken_can_be_rendered(data: st.DataObject, table: dict[str, object]) -> None:
    got = parse(data.draw(toml({"app": {"x": table}})), "f")
    if isinstance(got, Parsed):
        pushed = {arch: Artifact("0" * 64, 1) for arch in got.artifacts.get(AppName("x"), {})}
        app = with_artifacts(got.apps[0], pushed)
        machine = NodeFacts("n1", next(iter(pushed), "x86_64"))
        assert isinstance(render(INSTANCE, app, PERMISSIVE, Paths(), machine), Rendered)
