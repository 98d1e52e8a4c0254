"""A machine that was forgotten joins anew, as another node: it begins with nothing, its old units are left over."""

from __future__ import annotations

from tests.lab.system.fenced import fenced
from tests.lab.system.world import World

NODES = 2
PLAIN = """
[app.{name}]
run = ["/bin/sleep", "inf"]
availability = "best-effort"
place.nodes = ["{node}"]
"""


def test_its_old_units_run_on_unleased_until_an_admin_discards_them(world: World) -> None:
    world.apply(
        fenced("vault", "n2")
        + fenced("till", "n2")
        + PLAIN.format(name="plain", node="n2")
        + PLAIN.format(name="other", node="n2")
    )
    before = world.running(["n2"])
    world.skerry("node", "forget", "n2", "--yes", "--confirm")
    token = world.skerry("token", "create").split()[0]
    world.run("n2", "skerry-agent", "join", token, "--name", "n2b", timeout=60)
    world.until("it is in touch", lambda: world.agent_status("n2").hub == "")
    # A lease of the same length opens on the new node: it must start none of the old copies.
    world.apply(fenced("vault", "n2b") + fenced("ledger", "n2b") + PLAIN.format(name="plain", node="n2b"))
    now = world.running(["n2"])
    assert ("n2", "till-1") not in now
    assert now["n2", "other-1"] == before["n2", "other-1"]
    assert now["n2", "plain-1"] != before["n2", "plain-1"]  # the new node's copy, under the same name
    assert {app for (_, app) in now} == {"vault-1", "ledger-1", "plain-1", "other-1"}
    left = [line.partition(":")[0] for line in world.agent_status("n2").left_over]
    assert left == ["skerry-other-1.service", "skerry-till-1.service"]
    assert world.agent_status("n2").conditions == ()
    wrong = world.run("n2", "skerry-agent", "discard", "skerry-plain-1.service", check=False)
    assert (wrong.returncode, "not left over" in wrong.stderr) == (1, True)
    world.run("n2", "skerry-agent", "discard", *left)
    assert world.agent_status("n2").left_over == ()
    assert ("n2", "other-1") not in world.running(["n2"])
    assert world.running(["n2"]) == {key: run for key, run in now.items() if key[1] != "other-1"}


def test_no_lease_is_opened_by_hand(world: World) -> None:
    """Not even by whoever starts the lease's own target: it would have no end."""
    world.apply(fenced("alone", "n1"))
    lease = world.shown("n1", "skerry-alone-1.service", "Requisite")
    world.lab.cut("n1")
    world.until("its lease is over", lambda: not world.copies("alone", ["n1"]), 30)
    for unit in (lease, "skerry-alone-1.service"):
        assert world.systemctl("n1", "start", unit, check=False).returncode != 0
    assert not world.copies("alone", ["n1"])
    assert world.shown("n1", lease, "ActiveState") == "inactive"


def test_an_agent_that_hangs_is_said_to_hang(world: World) -> None:
    """The command waits 10 s for it."""
    pid = world.shown("n1", "skerry-agent.service", "MainPID")
    world.run("n1", "kill", "-STOP", pid)
    try:
        status = world.run("n1", "skerry-agent", "status")
        word = world.run("n1", "skerry-agent", "rollback", "--clear", check=False)
    finally:
        world.run("n1", "kill", "-CONT", pid, check=False)
    assert "agent      silent" in status.stdout
    assert "the agent is silent" in status.stderr
    assert word.returncode == 1
    assert "it may still do it" in word.stderr
