"""Join tokens: what lets a machine in, and every way in which it is kept out, each with its reason in a line."""

import hashlib
import json
import time

from skerry_hub.lab.client import Result
from skerry_protocol.jointoken import CHECK_LENGTH, PREFIX, BadToken, check, parse_token
from tests.lab.system.world import World

NODES = 5
JOINED = False
# A checkout may lie where only root may read; who runs it here may do that, and nothing else.
MAY_READ = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


def token(world: World, *words: str) -> str:
    return world.skerry("token", "create", *words).split()[0]


def join(world: World, node: str, text: str, *words: str) -> Result:
    return world.run(node, "skerry-agent", "join", text, *words, check=False, timeout=60)


def refused(world: World, node: str, text: str, *words: str) -> str:
    """Why; the machine is no node then, and no traceback is shown."""
    done = join(world, node, text, *words)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "cannot join" in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert world.shown(node, "skerry-agent.service", "ActiveState") == "inactive"
    return done.stderr


def tokens(world: World) -> dict[str, dict[str, object]]:
    return {one["id"]: one for one in json.loads(world.skerry("token", "list", "--json"))}


def test_a_one_off_token_lets_one_machine_in_and_tells_the_next_who_it_was(world: World) -> None:
    text = token(world, "--label", "site=north")
    assert join(world, "n1", text, "--name", "n1").returncode == 0
    assert world.hub_node("n1").labels["site"] == "north"
    said = refused(world, "n2", text)
    assert "was used on" in said
    assert "by node n1" in said
    assert "skerry token create" in said


def test_the_same_machine_joins_again_as_the_same_node_and_takes_no_use(world: World) -> None:
    text = token(world, "--reusable", "--limit", "5")
    before = world.hub_node("n1").id
    assert join(world, "n1", text).returncode == 0
    assert world.hub_node("n1").id == before
    assert tokens(world)[text.split("-")[2]]["uses"] == 0
    world.until("it is heard", lambda: world.agent_status("n1").hub == "")


def test_tokens_that_are_over_revoked_or_damaged_are_refused_with_the_reason(world: World) -> None:
    short = token(world, "--expires", "1s")
    gone = token(world)
    world.skerry("token", "revoke", gone.split("-")[2])
    assert "was revoked on" in refused(world, "n2", gone)
    time.sleep(1)  # the hub's clock alone counts
    assert "expired on" in refused(world, "n2", short)
    whole = token(world)
    for cut in (whole[:-3], whole[: len(whole) // 2], whole[:20], whole[1:], "", "hello"):
        refused(world, "n2", cut)
    assert tokens(world)[whole.split("-")[2]]["uses"] == 0


def test_a_token_of_another_mesh_sends_no_secret_to_this_hub(world: World) -> None:
    text = token(world)
    found = parse_token(text)
    assert not isinstance(found, BadToken)
    pin, start = hashlib.sha256(b"another root").hexdigest(), found.secret[:-CHECK_LENGTH]
    hubs = text.partition("@")[2]
    other = f"{PREFIX}{found.id}-{start}{check(found.id, start, pin, hubs)}.{pin}@{hubs}"
    assert "another mesh" in refused(world, "n2", other)
    assert tokens(world)[text.split("-")[2]]["uses"] == 0


def test_a_hub_that_is_not_there_is_said_to_be_so(world: World) -> None:
    text = token(world)
    world.lab.hub_stop()
    began = time.monotonic()
    assert "could be reached" in refused(world, "n2", text)
    world.lab.hub_start()
    world.lab.cut("n2")
    assert "could be reached" in refused(world, "n2", text)
    assert time.monotonic() - began < 50


def test_a_name_that_another_node_has_is_refused(world: World) -> None:
    said = refused(world, "n2", token(world), "--name", "n1")
    assert "another machine has that name" in said
    assert refused(world, "n2", token(world), "--name", "Not A Name")


def test_a_name_pattern_is_held_to(world: World) -> None:
    said = refused(world, "n2", token(world, "--name-pattern", "pump-*"), "--name", "valve-1")
    assert "pump-*" in said


def test_a_node_that_waits_for_approval_joins_when_it_is_let_in(world: World) -> None:
    text = token(world, "--approval")
    with world.lab.popen("n3", ["skerry-agent", "join", text, "--name", "n3"]) as joining:
        assert joining.stdout is not None
        world.until("it waits", lambda: world.hub_node("n3").state == "waiting")
        assert joining.poll() is None
        world.skerry("node", "approve", "n3")
        assert joining.wait(20) == 0
    assert world.hub_node("n3").state == "ready"
    world.until("it is in touch", lambda: world.agent_status("n3").hub == "")


def test_revoking_a_token_disconnects_nobody(world: World) -> None:
    text = token(world)
    assert join(world, "n4", text).returncode == 0
    world.skerry("token", "revoke", text.split("-")[2])
    world.systemctl("n4", "restart", "skerry-agent.service")
    world.until("it is in touch", lambda: world.agent_status("n4").hub == "")


def test_a_forgotten_machine_joins_anew_as_another_node(world: World) -> None:
    before = world.hub_node("n4").id
    world.skerry("node", "forget", "n4", "--yes")
    assert join(world, "n4", token(world), "--name", "n4").returncode == 0
    assert world.hub_node("n4").id != before
    world.until("it is in touch", lambda: world.agent_status("n4").hub == "")


def test_who_is_not_root_is_told_so(world: World) -> None:
    for words in (("join", token(world)), ("status",), ("rollback", "x")):
        somebody = ("setpriv", "--reuid=65534", "--clear-groups", *MAY_READ)
        done = world.run("n5", *somebody, "skerry-agent", *words, check=False)
        assert done.returncode != 0
        assert "only root may" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


def test_a_full_disk_is_said_to_be_so_and_a_join_works_when_there_is_room(world: World) -> None:
    world.run("n5", "mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", "/var/lib/skerry")
    world.run("n5", "sh", "-c", "head -c 2M /dev/zero > /var/lib/skerry/fill || true")
    text = token(world)
    assert "No space left on device" in refused(world, "n5", text)
    world.run("n5", "rm", "/var/lib/skerry/fill")
    assert join(world, "n5", text, "--name", "n5").returncode == 0, "the refused try took no use"


def test_a_disk_that_fills_up_stops_nothing_and_the_node_says_so(world: World) -> None:
    world.until("n5 is in touch", lambda: world.agent_status("n5").hub == "")
    text = '[app.before]\nrun = ["sleep", "inf"]\navailability = "best-effort"\n[app.before.place]\nnodes = ["n5"]\n'
    world.apply(text)
    before = world.running(["n5"])
    world.run("n5", "sh", "-c", "head -c 2M /dev/zero > /var/lib/skerry/fill || true")
    world.begin(text.replace("before", "after"))
    world.until("the hub hears why", lambda: "disk" in str(world.hub_node("n5").conditions), 30)
    assert "No space left" in world.text("n5", "skerry-agent", "status")
    assert world.running(["n5"]) == before
    world.run("n5", "rm", "/var/lib/skerry/fill")
    world.settled("before", "after", seconds=75)
    assert before.items() <= world.running(["n5"]).items()


def test_an_ephemeral_node_is_forgotten_when_it_was_offline_and_its_work_runs_on(world: World) -> None:
    assert join(world, "n2", token(world, "--ephemeral", "10s"), "--name", "n2").returncode == 0
    world.until("it is in touch", lambda: world.agent_status("n2").hub == "")
    world.apply(
        '[app.guest]\nrun = ["sleep", "inf"]\navailability = "best-effort"\n[app.guest.place]\nnodes = ["n2"]\n'
    )
    before = world.running(["n2"])
    assert before
    world.lab.cut("n2")
    world.until("the hub forgot it", lambda: "n2" not in world.hub_nodes(), 40)
    assert "n2" not in world.skerry("nodes").split()
    world.lab.heal("n2")
    world.systemctl("n2", "restart", "skerry-agent.service")  # else with its next beat, some minutes later
    world.until("it hears that", lambda: "is no member here" in world.agent_status("n2").hub, 60)
    assert "is no member here" in world.text("n2", "skerry-agent", "status")
    assert world.running(["n2"]) == before
