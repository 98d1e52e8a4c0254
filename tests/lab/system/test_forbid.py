"""Promise 3: a copy under `overlap = "forbid"` is live at most once, whatever its agent, its link and its machine do.

Slow by nature: a lease lasts ten seconds at least, and only time shows that it runs out.
"""

import json
import time

from skerry_agent.fence.kernel import boottime_ms
from tests.lab.system.fenced import LEASE_S, LOST_AFTER_S, REPLACED_S, place
from tests.lab.system.leases import leases
from tests.lab.system.world import World

NODES = 7


def test_a_cut_off_copy_stops_by_itself_before_its_replacement_starts_whatever_its_agent_does(
    world: World,
) -> None:
    ways = {"n1": "killed", "n2": "hung", "n3": "stopped", "n4": "alive"}
    before = {node: place(world, f"cut-{way}", node, "n5", "n6", "n7") for node, way in ways.items()}
    world.lab.cut(*ways)
    began = time.monotonic()
    world.lab.kill_agent("n1")
    world.lab.kill_agent("n2", "STOP")
    world.systemctl("n3", "stop", "skerry-agent.service")
    others = [node for node in world.nodes if node not in ways]
    new = {node: world.comes_up(f"cut-{way}", others, REPLACED_S) for node, way in ways.items()}
    for node, way in ways.items():
        replacement = new[node]
        old = world.unit(node, f"cut-{way}-1")
        assert not old.up, f"{way}: two at once"
        assert old.run == before[node].run, f"{way}: the cut-off copy was started again"
        assert 0 < old.down_since < replacement.starting_since, f"{way}: two at once"
        assert old.stopping_since - began < LEASE_S + 0.5, f"{way}: it outlived its lease"
    world.lab.heal(*ways)
    world.lab.kill_agent("n2", "CONT")
    world.systemctl("n3", "start", "skerry-agent.service")
    world.settled(*(f"cut-{way}" for way in ways.values()))
    for node, way in ways.items():
        assert [one.run for one in world.copies(f"cut-{way}")] == [new[node].run], "the replacement stays"
        assert claims(world, f"cut-{way}", new[node].node) > claims(world, f"cut-{way}", node)


def claims(world: World, app: str, node: str) -> int:
    """The number under which a copy ran last on a node, as it said itself."""
    said = world.text(node, "journalctl", "-o", "cat", "-u", f"skerry-{app}-1.service", "--grep", "^claim ")
    return int(said.splitlines()[-1].removeprefix("claim "))


def test_reboots_a_clean_one_gets_its_lease_back_at_once_a_power_cut_waits_until_the_old_one_is_over(
    world: World,
) -> None:
    place(world, "clean", "n1")
    place(world, "crash", "n2")
    world.lab.poweroff("n1", clean=True)
    cut_at = time.monotonic()
    world.lab.poweroff("n2")
    world.lab.boot("n1", "n2")
    booted = time.monotonic()
    clean = world.until("the clean one is up", lambda: world.copies("clean", ["n1"]), REPLACED_S)[0]
    assert clean.up_since - booted < LOST_AFTER_S / 2, "a clean shutdown waits for nothing"
    crash = world.until("the crashed one is up", lambda: world.copies("crash", ["n2"]), REPLACED_S + LEASE_S)[
        0
    ]
    assert crash.starting_since - cut_at > LOST_AFTER_S - LEASE_S / 3 - 1, (
        "what died with its power may live elsewhere"
    )


def test_a_boot_without_a_hub_starts_no_fenced_copy_and_nor_does_systemctl(world: World) -> None:
    place(world, "waits", "n3")
    world.lab.hub_stop()
    world.lab.poweroff("n3")
    world.lab.boot("n3")
    refused = world.systemctl("n3", "start", "skerry-waits-1.service", check=False)
    assert refused.returncode != 0
    assert not world.copies("waits", ["n3"])
    said = world.text("n3", "skerry-agent", "why", "waits")
    assert "lease" in said, said
    world.lab.hub_start()
    world.until("it runs again", lambda: world.copies("waits", ["n3"]), REPLACED_S + LEASE_S)


def test_a_hub_that_restarts_or_is_killed_stops_no_fenced_copy(world: World) -> None:
    """With a lease that outlasts the start of a hub on a busy machine."""
    before = place(world, "steady", "n7", lost_after_s=25)
    length_ms = leases(world, "n7").copies[f"skerry-{before.name}.service"]
    world.lab.hub_stop()
    renewed_by_a_new_hub(world, "n7", length_ms)
    last_ms = boottime_ms()
    world.lab.hub_kill()
    renewed_by_a_new_hub(world, "n7", length_ms)
    beyond_s = (last_ms + length_ms - boottime_ms()) / 1000 + 1
    world.holds(
        "it runs on past what a dead hub had granted", lambda: world.copies("steady") == [before], beyond_s
    )


def renewed_by_a_new_hub(world: World, node: str, length_ms: int) -> None:
    granted_ms = leases(world, node).end_ms(length_ms)
    world.lab.hub_start()
    world.until("its lease is renewed", lambda: leases(world, node).end_ms(length_ms) > granted_ms)


def test_a_drained_fenced_copy_starts_elsewhere_only_when_it_has_stopped(world: World) -> None:
    old = place(world, "moves", "n1", "n2")
    world.skerry("node", "drain", "n1", "--confirm", "--leave-data")
    new = world.until("it moves", lambda: world.copies("moves", ["n2"]), REPLACED_S)[0]
    world.skerry("node", "undrain", "n1")
    gone = world.text(
        "n1", "journalctl", "-o", "json", "-u", f"skerry-{old.name}.service", "--grep", "^Stopped "
    )
    assert gone, "the old one was stopped"
    assert not world.copies("moves", ["n1"])
    stopped_at = stopped(gone)
    assert stopped_at < new.starting_since


def stopped(journal: str) -> float:
    """When systemd said so last: seconds of CLOCK_MONOTONIC."""
    return int(json.loads(journal.splitlines()[-1])["__MONOTONIC_TIMESTAMP"]) / 1e6
