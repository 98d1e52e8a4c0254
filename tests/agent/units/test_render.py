from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from skerry_agent.units.policy import Policy
from skerry_agent.units.render import UNLIMITED, NodeFacts, NotAllowed, Paths, Rendered, render
from skerry_protocol.app import App, Artifact, Resources, Restart, Volume
from skerry_protocol.ids import AppName

from ..builders import SHA_A, SHA_B, VARIANTS, an_app, an_instance, fenced
from ..unitreader import keys, read

NODE = NodeFacts("n1", "x86_64")
HOSTILE = st.text(st.characters(codec="utf-8"), max_size=30)
LINES = st.sampled_from(
    ["a\nExecStartPre=/bin/sh", "x\\", "\r[Service]", "%n", "$(id)", '"', "';", "\0", " ", "../..", "/"]
)
ANY = st.one_of(HOSTILE, LINES)


def rendered(app: App, policy: Policy | None = None, node: NodeFacts = NODE) -> Rendered:
    found = render(an_instance(app), app, policy or Policy(), Paths(), node)
    assert isinstance(found, Rendered), found
    return found


def refused(app: App, policy: Policy | None = None) -> str:
    found = render(an_instance(app), app, policy or Policy(), Paths(), NODE)
    assert isinstance(found, NotAllowed), found
    return "; ".join(found.reasons)


def service(app: App, **more: Any) -> dict[str, list[str]]:
    """Key → values, of all sections."""
    found: dict[str, list[str]] = {}
    made = rendered(app, **more)
    for lines in read(made.units[made.service]).values():
        for key, value in lines:
            found.setdefault(key, []).append(value)
    return found


@settings(max_examples=300, deadline=None)
@given(
    st.lists(ANY, min_size=1, max_size=3),
    st.dictionaries(ANY, ANY, max_size=2),
    st.dictionaries(ANY, ANY, max_size=2),
    st.dictionaries(ANY, st.builds(Volume, ANY), max_size=1),
    st.one_of(st.none(), ANY),
    st.one_of(st.none(), ANY),
    st.one_of(st.none(), ANY),
)
def test_no_text_of_an_app_adds_a_line_to_its_units(
    run: list[str],
    env: dict[str, str],
    files: dict[str, str],
    volumes: dict[str, Volume],
    workdir: str | None,
    schedule: str | None,
    user: str | None,
) -> None:
    """Every directive is one of those that a harmless app of the same shape has, as often."""
    fields: dict[str, Any] = {
        "run": tuple(run),
        "env": env,
        "files": files,
        "volumes": volumes,
        "workdir": workdir,
    }
    app = an_app(**fields, schedule=schedule, user=user)
    made = render(an_instance(app), app, Policy(allow=("user",)), Paths(), NODE)
    if isinstance(made, NotAllowed):
        assert made.reasons
        return
    harmless = an_app(
        env={"A": "a"},
        files={"a": "a"} if files else {},
        volumes={f"v{number}": Volume(f"/v{number}") for number in range(len(volumes))},
        schedule="daily" if schedule is not None else None,
        user="nobody" if user else None,
    )
    plain = rendered(harmless, Policy(allow=("user",)))
    assert {name: keys(text) for name, text in made.units.items()} == {
        name: keys(text) for name, text in plain.units.items()
    }
    assert all(".." not in path.split("/") and not path.startswith("/") for path in made.tree)


def test_everything_is_shut_by_default() -> None:
    found = service(an_app())
    for key in (
        "DynamicUser",
        "PrivateUsers",
        "PrivateTmp",
        "PrivateDevices",
        "PrivateNetwork",
        "NoNewPrivileges",
    ):
        assert found[key] == ["yes"]
    assert found["ProtectSystem"] == ["strict"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["SystemCallFilter"] == ["@system-service"]
    assert "BindPaths" not in found
    assert rendered(an_app()).private_network


def test_with_a_network_plan_an_instance_has_the_namespace_that_is_made_for_it() -> None:
    node = structs.replace(NODE, network=True)
    alone, found = service(an_app()), service(an_app(), node=node)
    assert found["NetworkNamespacePath"] == [f"/run/skerry/spaces/now/skerry-{an_instance(an_app()).id}"]
    assert "-/run/skerry/net/resolv.conf:/etc/resolv.conf" in found["BindReadOnlyPaths"]
    assert set(alone) - set(found) == {"PrivateNetwork"}
    assert set(found) - set(alone) == {"NetworkNamespacePath"}
    made = rendered(an_app(), node=node)
    assert made.private_network
    assert made.namespace == f"skerry-{an_instance(an_app()).id}"
    assert made.restart_key != rendered(an_app()).restart_key


def test_the_machines_own_network_is_the_same_with_a_plan_and_without() -> None:
    app, policy = an_app(sandbox_allow=("host-network",)), Policy(allow=("host-network",))
    with_plan = rendered(app, policy, structs.replace(NODE, network=True))
    assert with_plan == rendered(app, policy)
    assert with_plan.namespace == ""


def test_a_word_opens_what_it_says_once_the_node_permits_it() -> None:
    app = an_app(sandbox_allow=("host-network",))
    assert "under [app.web]" in refused(app)
    policy = Policy(apps={"web": ("host-network",)})
    assert "PrivateNetwork" not in service(app, policy=policy)
    assert not rendered(app, policy).private_network


def test_all_reasons_come_at_once() -> None:
    app = an_app(
        run=("./go",),
        sandbox_allow=("host-network",),
        env={"SKERRY_CLAIM": "1"},
        volumes={"d": Volume("/etc")},
    )
    said = refused(app)
    for part in (
        "host-network",
        "inside of an artifact",
        "set by Skerry itself",
        "hides a part of the system",
    ):
        assert part in said


def test_a_word_that_nobody_knows_is_refused() -> None:
    assert "not a word of the sandbox" in refused(an_app(sandbox_allow=("root",)))


def test_the_program_and_its_arguments_stand_for_themselves() -> None:
    app = an_app(run=("./bin/go", "a b", "$HOME", "%n"), artifacts={"any": Artifact(SHA_A, 1)})
    found = service(app)
    assert found["ExecStart"] == [':/run/skerry/app/bin/go "a b" "$HOME" "%%n"']
    assert found["WorkingDirectory"] == ["/run/skerry/app"]
    assert rendered(app).artifact == SHA_A


@pytest.mark.parametrize("program", ["+sh", "-x", "@a", "!y", "./../../bin/sh", "/bin/s h", "a\nb", "|sh"])
def test_programs_that_mean_more_than_themselves_are_refused(program: str) -> None:
    assert "cannot write its unit" in refused(an_app(run=(program,), artifacts={"any": Artifact(SHA_A, 1)}))


def test_the_machines_own_archive_is_taken() -> None:
    both = {"x86_64": Artifact(SHA_A, 1), "aarch64": Artifact(SHA_B, 1)}
    assert rendered(an_app(artifacts=both)).artifact == SHA_A
    assert "no artifact for x86_64, only for aarch64" in refused(
        an_app(artifacts={"aarch64": Artifact(SHA_B, 1)})
    )


def test_limits_are_lines_and_live_properties() -> None:
    app = an_app(
        resources=Resources(memory_bytes=1 << 20, cpu_milli=505, tasks=9, cpu_weight=20, io_weight=30)
    )
    found = service(app)
    assert (found["MemoryMax"], found["CPUQuota"], found["TasksMax"]) == (["1048576"], ["50.5%"], ["9"])
    assert (found["CPUWeight"], found["IOWeight"]) == (["20"], ["30"])
    assert rendered(app).properties == {
        "MemoryMax": 1 << 20,
        "CPUQuotaPerSecUSec": 505_000,
        "TasksMax": 9,
        "CPUWeight": 20,
        "IOWeight": 30,
    }
    assert set(rendered(an_app()).properties.values()) == {UNLIMITED}


def test_a_fenced_copy_lives_under_its_lease_alone() -> None:
    found, made = service(fenced()), rendered(fenced())
    lease = "skerry-lease-46400.target"
    assert found["Requisite"] == [lease]
    assert lease in found["After"]
    assert found["WantedBy"] == [lease]
    assert made.wanted_by == lease
    assert found["NotifyAccess"] == ["none"]
    assert found["KillMode"] == ["control-group"]
    assert found["TimeoutStopSec"] == ["10000ms"]
    assert not {"ExecStop", "ExecStopPost", "BindsTo", "Requires"} & set(found)
    assert b'SKERRY_CLAIM="1"\n' in made.tree["env"].data


def test_the_timer_of_a_fenced_copy_is_part_of_its_lease() -> None:
    made = rendered(fenced(schedule="daily"))
    timer = read(made.units["skerry-web-0.timer"])
    assert ("Requisite", "skerry-lease-46400.target") in timer["Unit"]
    assert timer["Install"] == [("WantedBy", "skerry-lease-46400.target")]
    assert made.starts == "skerry-web-0.timer"


def test_a_scheduled_app_waits_for_its_turn() -> None:
    app = an_app(schedule="*-*-* 03:00:00")
    made = rendered(app)
    assert read(made.units[made.starts])["Timer"][0] == ("OnCalendar", "*-*-* 03:00:00")
    assert "Install" not in read(made.units[made.service])
    assert service(app)["Restart"] == ["no"]
    assert service(structs.replace(app, restart=Restart.ON_FAILURE))["Restart"] == ["on-failure"]


def test_quick_restarts_never_end_a_unit_for_good() -> None:
    assert service(an_app())["StartLimitIntervalSec"] == ["0"]
    assert service(an_app())["Restart"] == ["always"]


def test_volumes_are_kept_by_copy_and_shown_at_their_path() -> None:
    found = service(an_app(volumes={"data": Volume("/data"), "log": Volume("/var/lib/log")}))
    assert found["StateDirectory"] == ["skerry-volumes/web-0/data", "skerry-volumes/web-0/log"]
    assert found["BindPaths"][0] == "/var/lib/private/skerry-volumes/web-0/data:/data"


def test_the_users_word_and_field_are_one() -> None:
    for app in (an_app(user="www"), an_app(sandbox_allow=("user:www",))):
        found = service(structs.replace(app, volumes={"d": Volume("/d")}), policy=Policy(allow=("user:www",)))
        assert found["User"] == ["www"]
        assert "DynamicUser" not in found
        assert found["BindPaths"] == ["/var/lib/skerry-volumes/web-0/d:/d"]
        assert found["StateDirectoryMode"] == ["0700"]  # it lies where every instance can look


def test_after_names_the_units_of_that_app_on_this_node() -> None:
    node = NodeFacts("n1", "x86_64", {"db": ("skerry-db-0.service", "skerry-db-1.service")})
    app = an_app(after=(AppName("db"), AppName("elsewhere")))
    assert service(app, node=node)["After"] == [
        "network.target skerry-net.service skerry-db-0.service skerry-db-1.service"
    ]


def test_content_changes_leave_the_unit_file_alone() -> None:
    """What changes often needs no daemon-reload."""
    for old, new in (
        ({"env": {"A": "1"}}, {"env": {"A": "2"}}),
        ({"files": {"a": "1"}}, {"files": {"a": "2", "b/c": "3"}}),
        ({"artifacts": {"any": Artifact(SHA_A, 1)}}, {"artifacts": {"any": Artifact(SHA_B, 1)}}),
    ):
        before, after = rendered(an_app(**old)), rendered(an_app(**new))
        assert before.units == after.units
        assert before.tree_name != after.tree_name
        assert before.restart_key != after.restart_key


def test_limits_and_order_need_no_restart() -> None:
    plain = rendered(an_app())
    limited = rendered(an_app(resources=Resources(memory_bytes=1)))
    ordered = rendered(
        an_app(after=(AppName("db"),)), node=NodeFacts("n1", "x86_64", {"db": ("skerry-db-0.service",)})
    )
    assert plain.restart_key == limited.restart_key == ordered.restart_key
    assert plain.units != limited.units


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(VARIANTS), st.sampled_from(VARIANTS))
def test_the_same_app_is_rendered_the_same_and_another_one_otherwise(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    policy = Policy(allow=("host-network",))
    first, again = rendered(an_app(**one), policy), rendered(an_app(**one), policy)
    assert first == again
    if one != two and "after" not in one and "after" not in two:
        assert first != rendered(an_app(**two), policy)


@pytest.mark.parametrize("name", ["../x", "/etc/x", ".hidden", "a//b", "a/", "", "a\nb", "a/../b", "x" * 300])
def test_names_of_files_stay_inside(name: str) -> None:
    assert "no name for a file" in refused(an_app(files={name: ""}))


def test_a_file_cannot_be_a_folder_too() -> None:
    assert "both a file and a folder" in refused(an_app(files={"a": "", "a/b": ""}))
