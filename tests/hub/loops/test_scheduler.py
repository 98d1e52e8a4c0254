"""Placements: every availability rule, stability, determinism, room, and a report for what has no place."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from skerry_hub.loops.scheduler import Schedule
from skerry_hub.model import Loss, NodeRow, NodeState, Placement
from skerry_protocol.app import App, Artifact, OnReturn, Overlap, Place, Resources, Volume
from skerry_protocol.network import AppNetwork, Port

from .. import builders as b

ABC = [b.node("a", site="s1"), b.node("b", site="s1"), b.node("c", site="s2")]
LISTENS = AppNetwork({"main": Port(80)})
FORBID = b.ha("db", Overlap.FORBID, OnReturn.KEEP_REPLACEMENT)


def lost(name: str, returned: int | None = None, after: int = 60_000) -> Loss:
    return Loss(b.nid(name), after, 0, returned)


def without(name: str) -> frozenset[str]:
    return frozenset(node.id for node in ABC if node.name != name)


def only(made: Schedule) -> Placement:
    (placement,) = made.placements
    return placement


def test_copies_spread_and_stay() -> None:
    app = b.best_effort("web", 3, place=Place(spread="site"))
    made = b.planned([b.row(app)], ABC)
    assert b.where(made) == [("web", 1, "a"), ("web", 2, "c"), ("web", 3, "b")]
    again = b.planned([b.row(replace(app, env={"A": "1"}), 2)], ABC, made.placements)
    assert b.where(again) == b.where(made)
    assert {one.revision for one in again.placements} == {2}
    assert not again.ended


def test_the_report_counts_each_filter() -> None:
    app = b.best_effort("big", place=Place(labels={"site": ("s1",)}), resources=Resources(memory_bytes=900))
    nodes = [*ABC, b.node("d", NodeState.DRAINING, site="s1")]
    used = {b.nid("a"): Resources(memory_bytes=200)}
    made = b.planned([b.row(app)], nodes, used=used, fresh=without("b"))
    (turned,) = made.turned
    assert turned.candidates == 4
    expected = {"memory": 1, "label site=s1": 1, "state draining": 1, "not heard from in the last 30 s": 1}
    assert turned.by == expected
    assert made.ask == (b.nid("b"),)


def test_architecture_and_names() -> None:
    app = b.best_effort("arm", artifacts={"aarch64": Artifact("a" * 64, 1)})
    assert b.planned([b.row(app)], ABC).turned[0].by == {"artifact for arch aarch64": 3}
    app = b.best_effort("pin", place=Place(nodes=("c",)))  # type: ignore[arg-type]
    assert b.where(b.planned([b.row(app)], ABC)) == [("pin", 1, "c")]


def test_silence_never_moves_best_effort() -> None:
    made = b.planned([b.row(b.best_effort("web"))], ABC)
    again = b.planned(
        [b.row(b.best_effort("web"))], ABC, made.placements, losses=[lost("a")], fresh=without("a")
    )
    assert again.placements == made.placements


def test_labels_move_nothing_but_place_does() -> None:
    app = b.best_effort("web", place=Place(labels={"site": ("s1",)}))
    made = b.planned([b.row(app)], ABC)
    moved = [b.node("a", site="s9"), *ABC[1:]]
    assert b.planned([b.row(app)], moved, made.placements).placements == made.placements
    narrower = replace(app, place=Place(labels={"site": ("s2",)}))
    again = b.planned([b.row(narrower, 2)], ABC, made.placements)
    assert b.where(again) == [("web", 1, "c")]
    assert "shut out" in again.ended[0][1]


@pytest.mark.parametrize("app", [b.best_effort("web"), b.ha("web"), b.ha("web", Overlap.FORBID)])
def test_dead_moves_everything(app: App) -> None:
    made = b.planned([b.row(app)], ABC)
    nodes = [b.node("a", NodeState.DEAD, site="s1"), *ABC[1:]]
    again = b.planned([b.row(app)], nodes, made.placements)
    assert b.where(again) == [("web", 1, "b")]
    assert only(again).instance != only(made).instance
    back = b.planned([b.row(app)], ABC, again.placements)
    assert back.placements == again.placements


def test_drain_moves_and_keeps_what_has_nowhere_to_go() -> None:
    row = b.row(b.best_effort("web"))
    made = b.planned([row], ABC)
    drained = [b.node("a", NodeState.DRAINING, site="s1"), *ABC[1:]]
    assert b.where(b.planned([row], drained, made.placements)) == [("web", 1, "b")]
    alone = b.planned([row], drained[:1], made.placements)
    assert alone.placements == made.placements
    assert "no other node takes the copy" in alone.waiting[0].reason


def test_drain_leaves_data_only_when_told() -> None:
    row = b.row(b.best_effort("db", volumes={"data": Volume("/data")}))
    made = b.planned([row], ABC)
    draining = b.node("a", NodeState.DRAINING, site="s1")
    stays = b.planned([row], [draining, *ABC[1:]], made.placements)
    assert stays.placements == made.placements
    assert "--leave-data" in stays.waiting[0].reason
    goes = b.planned([row], [replace(draining, leave_data=True), *ABC[1:]], made.placements)
    assert b.where(goes) == [("db", 1, "b")]


def test_drain_of_an_overlapping_copy_starts_the_new_one_first() -> None:
    row = b.row(b.ha("web"))
    made = b.planned([row], ABC)
    drained = [b.node("a", NodeState.DRAINING, site="s1"), *ABC[1:]]
    both = b.planned([row], drained, made.placements)
    assert b.where(both) == [("web", 1, "a"), ("web", 1, "b")]
    assert len(b.planned([row], drained, both.placements, healthy=frozenset()).placements) == 2
    assert b.where(b.planned([row], drained, both.placements)) == [("web", 1, "b")]


def test_a_lost_overlapping_copy_is_replaced_beside() -> None:
    row = b.row(b.ha("web"))
    made = b.planned([row], ABC)
    cut = b.planned([row], ABC, made.placements, losses=[lost("a")], fresh=without("a"))
    assert b.where(cut) == [("web", 1, "a"), ("web", 1, "b")]
    still = b.planned([row], ABC, cut.placements, losses=[lost("a")], fresh=without("a"))
    assert still.placements == cut.placements
    short = b.planned([row], ABC, made.placements, losses=[lost("a", after=30_000)], fresh=without("a"))
    assert short.placements == made.placements


@pytest.mark.parametrize(
    ("on_return", "stays", "reason"),
    [
        (OnReturn.KEEP_ORIGINAL, "a", "the original is back"),
        (OnReturn.KEEP_REPLACEMENT, "b", "its replacement stays"),
    ],
)
def test_on_return(on_return: OnReturn, stays: str, reason: str) -> None:
    row = b.row(b.ha("web", on_return=on_return))
    made = b.planned([row], ABC)
    cut = b.planned([row], ABC, made.placements, losses=[lost("a")], fresh=without("a"))
    ill = b.planned([row], ABC, cut.placements, losses=[lost("a", 1)], healthy=frozenset())
    assert ill.placements == cut.placements
    back = b.planned([row], ABC, cut.placements, losses=[lost("a", 1)])
    assert b.where(back) == [("web", 1, stays)]
    assert [text for _, text in back.ended] == [reason]
    assert only(back).replaces is None


def test_on_return_the_older_revision_goes() -> None:
    app = b.ha("web")
    made = b.planned([b.row(app)], ABC)
    cut = b.planned([b.row(app)], ABC, made.placements, losses=[lost("a")], fresh=without("a"))
    newer = b.row(replace(app, env={"A": "1"}), 2)
    changed = b.planned([newer], ABC, cut.placements, losses=[lost("a")], fresh=without("a"))
    assert {(one.node, one.revision) for one in changed.placements} == {("id-a", 1), ("id-b", 2)}
    back = b.planned([newer], ABC, changed.placements, losses=[lost("a", 1)])
    assert b.where(back) == [("web", 1, "b")]


def test_a_replacement_of_a_replacement() -> None:
    row = b.row(b.ha("web"))
    made = b.planned([row], ABC)
    one = b.planned([row], ABC, made.placements, losses=[lost("a")], fresh=without("a"))
    gone = [lost("a"), lost("b")]
    two = b.planned([row], ABC, one.placements, losses=gone, fresh=frozenset({"id-c"}))
    assert b.where(two) == [("web", 1, "a"), ("web", 1, "b"), ("web", 1, "c")]
    back = b.planned([row], ABC, two.placements, losses=[lost("a", 1), lost("b", 1)])
    assert b.where(back) == [("web", 1, "a")]


def test_a_lost_fenced_copy_moves_once_there_is_a_place() -> None:
    row = b.row(FORBID)
    made = b.planned([row], ABC)
    nowhere = b.planned([row], ABC, made.placements, losses=[lost("a")], fresh=frozenset())
    assert nowhere.placements == made.placements
    moved = b.planned([row], ABC, made.placements, losses=[lost("a")], fresh=without("a"))
    assert b.where(moved) == [("db", 1, "b")]
    assert [one.instance for one, _ in moved.ended] == [only(made).instance]
    back = b.planned([row], ABC, moved.placements, losses=[lost("a", 1)])
    assert back.placements == moved.placements
    held = b.planned([row], ABC, made.placements, losses=[lost("a")], fresh=without("a"), restored=True)
    assert held.placements == made.placements


def test_a_copy_is_not_handed_from_one_silent_node_to_another() -> None:
    """With a short lost_after they were heard in the last 30 s, all of them."""
    for row in (b.row(FORBID), b.row(b.ha("web"))):
        made = b.planned([row], ABC)
        cut = [lost("a"), lost("b")]
        moved = b.planned([row], ABC, made.placements, losses=cut)
        assert b.where(moved)[-1][2] == "c", "c answers"
        all_cut = b.planned([row], ABC, made.placements, losses=[*cut, lost("c")])
        assert all_cut.placements == made.placements
        assert all_cut.ask == ()
        (waits,) = all_cut.waiting
        assert waits.reason.endswith("no other node takes the copy: 3 silent for a lost_after")


def test_a_fenced_copy_goes_home_after_the_loss_is_forgotten() -> None:
    row = b.row(b.ha("db", Overlap.FORBID, OnReturn.KEEP_ORIGINAL))
    made = b.planned([row], ABC)
    moved = b.planned([row], ABC, made.placements, losses=[lost("a")], fresh=without("a"))
    assert only(moved).home == "id-a"
    early = b.planned([row], ABC, moved.placements, losses=[lost("a", 1)])
    assert early.placements == moved.placements
    home = b.planned([row], ABC, moved.placements)
    assert b.where(home) == [("db", 1, "a")]
    assert only(home).home is None
    assert b.planned([row], ABC, home.placements).placements == home.placements


def test_one_for_each_node() -> None:
    row = b.row(b.best_effort("log", per_node=True))
    made = b.planned([row], ABC, fresh=frozenset())
    assert b.where(made) == [("log", 1, "a"), ("log", 2, "b"), ("log", 3, "c")]
    more = b.planned([row], [*ABC, b.node("d")], made.placements)
    assert b.where(more)[:3] == b.where(made)
    assert len(more.placements) == 4


def test_scale_down_ends_the_highest_and_removal_ends_all() -> None:
    made = b.planned([b.row(b.best_effort("web", 3))], ABC)
    fewer = b.planned([b.row(b.best_effort("web", 1), 2)], ABC, made.placements)
    assert [one.number for one in fewer.placements] == [1]
    assert not b.planned([b.gone("web")], ABC, made.placements).placements


def test_doubling_up_waits_for_nodes_that_may_answer() -> None:
    row = b.row(b.best_effort("web", 2))
    quiet = b.planned([row], ABC, fresh=frozenset({"id-a"}), asked=frozenset())
    assert b.where(quiet) == [("web", 1, "a")]
    assert set(quiet.ask) == {"id-b", "id-c"}
    silent = b.planned([row], ABC, fresh=frozenset({"id-a"}), asked=frozenset({b.nid("b"), b.nid("c")}))
    assert b.where(silent) == [("web", 1, "a"), ("web", 2, "a")]


APPS = st.lists(
    st.sampled_from(
        [
            b.publishing("front", 3),
            b.publishing("edge", outside=443),
            b.publishing("side", per_node=True),
            b.ha("gate", replicas=2, network=b.publishing("x").network),
            b.ha("vault", Overlap.FORBID, replicas=2, network=b.publishing("x").network),
            b.best_effort("bare", 2, network=LISTENS, sandbox_allow=("host-network",)),
            b.best_effort("one", 2),
            b.best_effort("two", 3, resources=Resources(memory_bytes=300)),
            b.best_effort("every", per_node=True),
            b.ha("over", replicas=2),
            b.ha("keep", on_return=OnReturn.KEEP_REPLACEMENT),
            b.ha("db", Overlap.FORBID, replicas=2),
        ]
    ),
    unique_by=lambda app: app.name,
)
NODES = [b.node(name, site=site) for name, site in zip("abcde", ("s1", "s1", "s2", "s2", "s3"), strict=True)]
TROUBLE = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from(["lost", "back", "dead", "drain"])), max_size=3
)


def shaken(trouble: list[tuple[str, str]]) -> tuple[list[NodeRow], list[Loss], frozenset[str]]:
    states = {"dead": NodeState.DEAD, "drain": NodeState.DRAINING}
    words = dict(trouble)
    nodes = [replace(node, state=states.get(words.get(node.name, ""), NodeState.READY)) for node in NODES]
    losses = [
        lost(name, None if word == "lost" else 1) for name, word in words.items() if word in {"lost", "back"}
    ]
    fresh = frozenset(node.id for node in nodes if words.get(node.name) != "lost")
    return nodes, losses, fresh


@settings(max_examples=150, deadline=None)
@given(APPS, st.lists(TROUBLE, max_size=4), st.randoms(use_true_random=False))
def test_never_more_than_asked_nothing_moves_twice_and_order_does_not_matter(
    apps: list[App], troubles: list[list[tuple[str, str]]], chance: random.Random
) -> None:
    before: tuple[Placement, ...] = ()
    rows = [b.row(app) for app in apps]
    for trouble in [*troubles, []]:
        nodes, losses, fresh = shaken(trouble)
        more = {"losses": losses, "fresh": fresh, "healthy": frozenset()}
        made = b.planned(rows, nodes, before, **more)
        mixed = tuple(chance.sample(before, len(before)))
        other = b.planned(chance.sample(rows, len(rows)), chance.sample(nodes, len(nodes)), mixed, **more)
        assert b.where(other) == b.where(made)
        old = {one.instance for one in before}
        for app in apps:
            copies = [one for one in made.placements if one.app == app.name]
            if not app.per_node:
                assert all(
                    one.node in fresh for one in copies if one.instance not in old and not app.per_node
                )
        assert made.clashes == ()
        settled = b.planned(rows, nodes, made.placements, **more)
        assert b.where(settled) == b.where(made)
        before = made.placements
