"""What `skerry apply` does: one file becomes units on nodes, faults are all told at once, nothing else is touched."""

import io
import json
import subprocess
import tarfile

from tests.lab.system.world import World

NODES = 3

EVERY_KIND = """
[app.each]
run = ["sleep", "inf"]
availability = "best-effort"
per_node = true
[app.any]
run = ["sleep", "inf"]
availability = "ha"
replicas = 2
[app.any.ha]
lost_after = "60s"
[app.only]
run = ["sleep", "inf"]
availability = "ha"
[app.only.ha]
lost_after = "60s"
overlap = "forbid"
"""


def test_every_kind_of_app_becomes_healthy_and_a_second_apply_touches_nothing(world: World) -> None:
    world.apply(EVERY_KIND)
    assert {name: (one.healthy, one.wanted, one.state) for name, one in world.apps().items()} == {
        "each": (3, 3, "healthy"),
        "any": (2, 2, "healthy"),
        "only": (1, 1, "healthy"),
    }
    assert [len(world.copies(name)) for name in ("each", "any", "only")] == [3, 2, 1]
    before = world.running()
    world.apply(EVERY_KIND)
    assert world.running() == before
    assert [one.revision for one in world.apps().values()] == [1, 1, 1]


def test_a_bad_file_shows_all_faults_with_their_lines_and_changes_nothing(world: World) -> None:
    text = """[app.fine]
run = ["sleep", "inf"]
availability = "best-effort"

[app.bad]
runs = ["sleep", "inf"]
availability = "sometimes"
stop_timeout = 10
"""
    done = world.ask("apply", world.file(text))
    assert done.returncode != 0
    assert done.stderr.startswith("skerry: cannot apply")
    for line, word in ((6, "runs"), (7, "sometimes"), (8, "stop_timeout")):
        assert any(f":{line}" in one and word in one for one in done.stderr.splitlines()), (line, done.stderr)
    assert "Traceback" not in done.stderr
    assert "fine" not in world.apps()


def test_a_file_that_is_no_toml_or_not_there_is_refused_in_a_line(world: World) -> None:
    for name in (world.file("[app.x\n"), world.file("\x00\xff"), "/nowhere.toml"):
        done = world.ask("apply", name)
        assert done.returncode != 0
        assert "cannot" in done.stderr
        assert "Traceback" not in done.stderr


def test_an_artifact_is_pushed_fetched_and_run_read_only(world: World) -> None:
    serve = (
        b"#!/bin/sh\ncat greeting; touch new 2>/dev/null && echo writable || echo read-only; exec sleep inf\n"
    )
    archive(
        world, "tool.tar.gz", {"serve": (serve, 0o755), "greeting": (b"hello from the artifact\n", 0o644)}
    )
    world.apply("""
[app.tool]
run = ["./serve"]
artifact = "tool.tar.gz"
availability = "best-effort"
per_node = true
""")
    assert len(world.copies("tool")) == NODES
    for node in world.nodes:
        said = world.text(node, "journalctl", "-o", "cat", "-u", "skerry-tool-*")
        assert "hello from the artifact" in said
        assert "read-only" in said


def archive(world: World, name: str, members: dict[str, tuple[bytes, int]]) -> None:
    """A tar beside the app files."""
    with tarfile.open(world.folder / name, "w:gz") as tar:
        for path, (content, mode) in members.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))


def test_an_archive_that_leads_out_is_refused_before_anything_changes(world: World) -> None:
    archive(world, "evil.tar.gz", {"../../etc/evil": (b"x", 0o644)})
    text = '[app.evil]\nrun = ["./x"]\nartifact = "evil.tar.gz"\navailability = "best-effort"\n'
    done = world.ask("apply", world.file(text))
    assert done.returncode != 0
    assert "'..'" in done.stderr, done.stderr
    (world.folder / "short.tar.gz").write_bytes((world.folder / "evil.tar.gz").read_bytes()[:50])
    assert world.ask("apply", world.file(text.replace("evil.tar", "short.tar"))).returncode != 0
    assert "evil" not in world.apps()


def test_files_env_and_volumes_are_there_and_volumes_outlive_the_app(world: World) -> None:
    text = """
[app.keeps]
run = ["/bin/sh", "-c", '''
echo $COLOUR $(cat $SKERRY_FILES/motd.txt) $(cat /data/kept)
echo old > /data/kept
exec sleep inf''']
availability = "best-effort"
env = { COLOUR = "green" }
[app.keeps.place]
nodes = ["n2"]
[app.keeps.files]
"motd.txt" = "good morning"
[app.keeps.volumes]
data = "/data"
"""
    world.apply(text)
    journal = ("journalctl", "-o", "cat", "-u", "skerry-keeps-1")
    world.until("it says so", lambda: "green good morning" in world.text("n2", *journal))
    world.apply(text.replace("green", "blue"))
    world.until("the volume is the same", lambda: "blue good morning old" in world.text("n2", *journal))


def test_a_schedule_becomes_a_timer(world: World) -> None:
    world.apply("""
[app.nightly]
run = ["true"]
availability = "best-effort"
schedule = "*-*-* 03:00:00"
[app.nightly.place]
nodes = ["n1"]
""")
    assert world.shown("n1", "skerry-nightly-1.timer", "ActiveState") == "active"
    assert "03:00:00" in world.shown("n1", "skerry-nightly-1.timer", "TimersCalendar")
    assert not world.copies("nightly")


def test_an_app_starts_after_another_on_the_same_node(world: World) -> None:
    world.apply("""
[app.base]
run = ["sleep", "inf"]
availability = "best-effort"
[app.base.place]
nodes = ["n3"]
[app.top]
run = ["sleep", "inf"]
availability = "best-effort"
after = ["base"]
[app.top.place]
nodes = ["n3"]
""")
    world.lab.reboot("n3")
    (base,), (top,) = world.copies("base", ["n3"]), world.copies("top", ["n3"])
    assert base.up_since <= top.starting_since


def test_copies_go_only_where_labels_fit_and_why_counts_who_was_turned_away(world: World) -> None:
    world.skerry("node", "label", "n2", "disk=ssd")
    fits = """
[app.picky]
run = ["sleep", "inf"]
availability = "best-effort"
[app.picky.place]
labels = { disk = ["ssd", "nvme"] }
"""
    world.apply(fits)
    assert [one.node for one in world.copies("picky")] == ["n2"]
    world.begin(fits.replace("picky", "nowhere").replace('["ssd", "nvme"]', '"tape"'))
    headline = world.why("nowhere").headline
    assert "none of 3 nodes" in headline, headline
    assert "3" in headline.partition("nodes")[2], headline
    assert "disk" in headline, headline


def test_what_is_more_than_any_node_has_is_said_to_be_so(world: World) -> None:
    world.begin("""
[app.huge]
run = ["sleep", "inf"]
availability = "best-effort"
[app.huge.resources]
memory = "900G"
""")
    assert "memory" in world.why("huge").headline


def test_a_plan_changes_nothing(world: World) -> None:
    before, apps = world.running(), world.apps()
    said = world.skerry(
        "apply", world.file(EVERY_KIND.replace('["sleep", "inf"]', '["sleep", "9999"]')), "--plan"
    )
    assert "restart" in said
    assert world.apps() == apps
    assert world.running() == before


def test_what_the_nodes_policy_does_not_permit_is_refused_by_the_node_with_the_line_to_add(
    world: World,
) -> None:
    text = """
[app.loud]
run = ["sleep", "inf"]
availability = "best-effort"
[app.loud.place]
nodes = ["n1"]
[app.loud.sandbox]
allow = ["host-network"]
"""
    world.begin(text)
    world.until("the hub says why", lambda: "/etc/skerry/policy.toml" in world.why("loud").headline)
    assert not world.copies("loud")
    world.run(
        "n1", "sh", "-c", "mkdir -p /etc/skerry; echo 'allow = [\"host-network\"]' > /etc/skerry/policy.toml"
    )
    world.systemctl("n1", "restart", "skerry-agent.service")
    world.settled("loud")


def test_apply_prints_what_happened_as_json(world: World) -> None:
    done: subprocess.CompletedProcess[str] = world.ask("apply", world.file(EVERY_KIND), "--json")
    assert done.returncode == 0
    assert "applied" in json.loads(done.stdout)


def test_a_removed_app_stops_everywhere_and_its_history_stays(world: World) -> None:
    world.apply('[app.gone]\nrun = ["sleep", "inf"]\navailability = "best-effort"\nper_node = true\n')
    others = {key: run for key, run in world.running().items() if not key[1].startswith("gone")}
    world.skerry("remove", "gone", "--yes", "--reason", "no use")
    world.until("it is gone", lambda: not world.copies("gone"))
    assert world.running() == others
    assert [one["reason"] for one in json.loads(world.skerry("history", "gone", "--json"))] == ["no use", ""]
