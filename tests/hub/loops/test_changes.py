"""What an apply would do: each kind of change, and what it refuses."""

from __future__ import annotations

from msgspec.structs import replace

from skerry_hub.loops.changes import Proposal, drain_refusals, what_would_change
from skerry_hub.loops.telling import Kind
from skerry_hub.model import AppRow, NodeState
from skerry_protocol.app import App, Ha, Overlap, Place, Resources, Volume
from skerry_protocol.ids import AppName
from skerry_protocol.network import AppNetwork, Port, Transport

from .. import builders as b

NODES = [b.node("a", site="s1"), b.node("b", site="s1"), b.node("c", site="s2")]


def propose(old: list[App], new: list[App | str], **more: object) -> Proposal:
    before = [b.row(app) for app in old]
    after: list[AppRow] = [b.gone(app) if isinstance(app, str) else b.row(app, 2) for app in new]
    placements = b.planned(before, NODES).placements
    return what_would_change(
        before,
        after,
        placements,
        NODES,
        lambda rows: b.planned(rows, NODES, placements),
        **more,  # type: ignore[arg-type]
    )


def said(made: Proposal) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(change.app, change.kind.value, change.nodes) for change in made.changes]


WEB = b.best_effort("web", 2)


def test_the_kinds() -> None:
    assert said(propose([], [WEB])) == [("web", "place", ("a", "b"))]
    assert said(propose([WEB], ["web"])) == [("web", "remove", ("a", "b"))]
    assert propose([WEB], [WEB]).changes == ()
    assert said(propose([WEB], [replace(WEB, resources=Resources(cpu_milli=1))])) == [
        ("web", "live", ("a", "b"))
    ]
    assert said(propose([WEB], [replace(WEB, env={"A": "1"})])) == [("web", "restart", ("a", "b"))]
    assert said(propose([WEB], [replace(WEB, replicas=1)])) == [("web", "remove", ("b",))]
    assert said(propose([WEB], [replace(WEB, place=Place(spread="site"))])) == [("web", "none", ())]
    moved = propose([WEB], [replace(WEB, place=Place(nodes=("a", "c")))])  # type: ignore[arg-type]
    assert said(moved) == [("web", "replace", ("b",))]
    assert str(moved.changes[0]) == "web-2: moves from b to c (place.nodes)"


def test_data_is_not_left_behind_by_accident() -> None:
    db = b.best_effort("db", volumes={"data": Volume("/data")})
    away = replace(db, place=Place(nodes=("c",)))  # type: ignore[arg-type]
    assert "would leave its data on a: data" in propose([db], [away]).refusals[0]
    assert propose([db], [away], leave_data=True).refusals == ()
    draining = b.node("a", NodeState.DRAINING)
    placements = b.planned([b.row(db)], NODES).placements
    assert "--leave-data" in drain_refusals(draining, [b.row(db)], placements, False)[0]
    assert drain_refusals(draining, [b.row(db)], placements, True) == []
    empty = replace(db, volumes={"data": Volume("/data", empty_elsewhere=True)})
    assert drain_refusals(draining, [b.row(empty)], placements, False) == []


def test_most_of_a_node_vanishing_needs_a_word() -> None:
    apps = [b.best_effort(name, per_node=True) for name in ("one", "two", "three", "four")]
    made = propose(list(apps), ["one", "two", "three"])
    assert made.confirm[0] == "3 of 4 copies on node a would be removed"
    assert len(made.refusals) == 3
    assert propose(list(apps), ["one", "two", "three"], confirmed=True).refusals == ()
    assert propose(list(apps), ["one", "two"]).confirm == ()


def test_the_price_of_forbid_is_shown_and_too_short_a_time_refused() -> None:
    db = b.ha("db", Overlap.FORBID)
    assert "is stopped within 56.4 s" in propose([], [db]).notes[0]
    short = replace(db, ha=Ha(20_000, Overlap.FORBID))
    assert "leaves no lease" in propose([], [short]).refusals[0]
    wide = b.best_effort("big", resources=Resources(memory_bytes=5000))
    assert propose([], [wide]).notes == ("big-1 has no place: 3 memory",)


def test_data_that_stays_behind_is_said_whatever_ends_the_copy() -> None:
    db = b.best_effort("db", 2, volumes={"data": Volume("/data")})
    assert propose([db], [replace(db, replicas=1)]).notes == ("db: its data stays on b: data",)
    assert propose([db], ["db"]).notes == ("db: its data stays on a, b: data",)
    assert propose([db], [replace(db, env={"A": "1"})]).notes == ()


def test_what_is_new_and_has_no_place_is_not_called_unchanged() -> None:
    far = b.best_effort("far", place=Place(nodes=("z",)))  # type: ignore[arg-type]
    made = propose([], [far])
    assert str(made.changes[0]) == "far: is new, and gets no copy for now"
    assert "far: place.nodes names z, and there is no such node" in made.notes


def test_the_region_is_a_label_and_nobody_can_set_another() -> None:
    north = [replace(node, region="north", labels={"region": "south", "arch": "z80"}) for node in NODES]
    wanted = (
        ("region", "north", True),
        ("region", "south", False),
        ("arch", "x86_64", True),
        ("node", "a", True),
    )
    for key, value, fits in wanted:
        app = b.best_effort("web", place=Place(labels={key: (value,)}))
        assert bool(b.planned([b.row(app)], north).placements) is fits, key


def test_what_changes_of_the_network_is_said_in_words() -> None:
    before = AppNetwork({"http": Port(8080), "old": Port(1)}, (AppName("db"),), {"old": 9})
    after = AppNetwork(
        {"http": Port(8081), "dns": Port(53, Transport.UDP)}, (AppName("log"),), {"http": 80}, egress=False
    )
    old, log = b.best_effort("web", network=before), b.best_effort("log")
    (change,) = propose([old, log], [replace(old, network=after), log]).changes
    assert change.kind is Kind.LIVE
    assert change.fields == ("network.egress", "network.ports", "network.publish", "network.reaches")
    assert change.text == (
        "web: changes while it runs on b (port dns is 53/udp, port http is 8081/tcp instead of 8080/tcp, "
        "no port old any more, http is published as port 80 of its nodes, old is published no longer, reaches log, "
        "no longer reaches db, stays inside the mesh)"
    )
    (change,) = propose([old], [replace(old, network=after, env={"A": "1"})]).changes
    assert change.text.startswith("web: restarts on a (env.A, port dns is 53/udp, ")


def test_of_a_new_app_it_is_said_what_it_opens() -> None:
    made = propose([], [replace(b.publishing("web"), place=Place(nodes=("a",)))])  # type: ignore[arg-type]
    assert str(made.changes[0]) == (
        "web: starts on a (port main is 8000/tcp, main is published as port 80 of its nodes)"
    )


def test_an_app_that_is_not_there_to_be_reached_is_a_note() -> None:
    web, db = b.best_effort("web", network=AppNetwork(reaches=(AppName("db"),))), b.best_effort("db")
    note = "web reaches db, but the region has no app of that name"
    made = propose([], [web])
    assert (made.notes, made.refusals) == ((note,), ())
    assert propose([], [web, db]).notes == propose([web], [web, db]).notes == ()
    assert propose([web, db], [web, "db"]).notes == (note,)
    assert propose([web], [web, b.best_effort("other")]).notes == (), "it was said when it was applied"


def test_a_port_that_another_app_has_is_refused_where_a_copy_stays() -> None:
    web, log = b.best_effort("web"), b.publishing("log")
    everywhere = replace(log, replicas=3)
    (refused,) = propose([web, everywhere], [replace(web, network=log.network), everywhere]).refusals
    assert refused.startswith("cannot apply web: log has port 80/tcp of a (choose another port, or keep one")
    both: list[App | str] = [replace(web, network=log.network), replace(everywhere, network=AppNetwork())]
    assert propose([web, everywhere], both).refusals == ()
    doubled = b.best_effort("web", 4)
    (refused,) = propose([doubled], [replace(doubled, network=log.network)]).refusals
    assert refused.startswith("cannot apply web: another of its copies has port 80/tcp of a (choose")
    (refused,) = propose(
        [replace(web, replicas=3), everywhere], [replace(web, replicas=3, network=log.network)]
    ).refusals
    assert "log has port 80/tcp of a, b, c (choose" in refused


def test_a_new_copy_that_finds_no_free_port_is_a_note() -> None:
    made = propose([b.publishing("log", 3)], [b.publishing("log", 3), b.publishing("web")])
    assert made.refusals == ()
    assert made.notes == ("web-1 has no place: 3 port 80/tcp (log has it)",)
