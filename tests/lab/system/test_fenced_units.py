"""Promise 3, as far as a machine's own systemd and admin can break it: drop-ins, sleep, copied disks."""

from tests.lab.system.fenced import LEASE_S, REPLACED_S, fenced, place
from tests.lab.system.world import World

NODES = 4


def test_a_drop_in_that_lets_it_stop_later_keeps_it_from_starting_with_the_reason(world: World) -> None:
    lengthen(world, "n1", "slow")
    world.begin(fenced("slow", "n1"))
    world.until("the hub says that it failed", lambda: world.why("slow").state == "failed")
    why = world.why("slow").headline
    assert "TimeoutStopSec" in why, why
    assert "systemctl revert skerry-slow-1.service" in why, why
    assert not world.copies("slow", ["n1"])
    world.systemctl("n1", "revert", "skerry-slow-1.service")
    world.systemctl("n1", "daemon-reload")
    world.settled("slow", seconds=70)


def lengthen(world: World, node: str, app: str) -> None:
    """As `systemctl edit` by the machine's admin."""
    folder = f"/etc/systemd/system/skerry-{app}-1.service.d"
    text = "[Service]\\nTimeoutStopSec=60\\n"
    world.run(
        node,
        "sh",
        "-c",
        f"mkdir -p {folder}; printf '{text}' > {folder}/override.conf; systemctl daemon-reload",
    )


def test_a_drop_in_that_came_later_lets_it_outlive_no_lease(world: World) -> None:
    place(world, "later", "n2")
    lengthen(world, "n2", "later")
    world.lab.cut("n2")
    world.until("its lease is over", lambda: not world.copies("later", ["n2"]), LEASE_S + 8)
    world.lab.heal("n2")
    world.until("the hub says why", lambda: "systemctl revert" in world.why("later").headline)
    world.holds("it does not start", lambda: not world.copies("later", ["n2"]), 6)


def test_a_drop_in_made_while_the_agent_was_away_keeps_it_from_starting_after_a_boot(world: World) -> None:
    place(world, "behind", "n3")
    world.systemctl("n3", "stop", "skerry-agent.service")
    lengthen(world, "n3", "behind")
    world.lab.poweroff("n3")
    world.lab.boot("n3")
    world.until(
        "the hub says why", lambda: "systemctl revert" in world.why("behind").headline, REPLACED_S + LEASE_S
    )
    assert not world.copies("behind", ["n3"])
    assert world.unit("n3", "behind-1").up_since == 0, "it was never started"


def test_sleep_ends_the_lease_first(world: World) -> None:
    before = place(world, "sleeper", "n4")
    # Only by dependency may sleep.target be started; a real suspend would be that of this whole machine.
    nap = "[Unit]\\nRequires=sleep.target\\nAfter=sleep.target\\n[Service]\\nExecStart=true\\n"
    world.run(
        "n4", "sh", "-c", f"printf '{nap}' > /run/systemd/system/nap.service; systemctl start nap.service"
    )
    slept = float(world.shown("n4", "sleep.target", "ActiveEnterTimestampMonotonic")) / 1e6
    ended = world.unit("n4", "sleeper-1")
    assert before.up_since < ended.down_since <= slept
    again = world.until("a new lease", lambda: world.copies("sleeper", ["n4"]))[0]
    assert again.starting_since > slept


def test_two_machines_with_one_identity_get_no_lease_until_an_operator_names_one(world: World) -> None:
    world.apply(
        '[app.plain]\nrun = ["sleep", "inf"]\navailability = "best-effort"\n[app.plain.place]\nnodes = ["n1"]\n'
    )
    place(world, "twins", "n1")
    world.lab.poweroff("n1")
    world.lab.add("twin", copy_of="n1")
    world.lab.boot("n1", "twin")
    both = ["n1", "twin"]
    told = "two machines, one identity"
    # Each takes the tunnel from the other, who notices when 15 s went unanswered and then waits to connect again; only
    # who comes back after another shows that there are two.
    world.until(
        "the hub says so",
        lambda: told in str(world.hub_node("n1").conditions) and not alive_twice(world),
        120,
    )
    world.until("neither has a lease", lambda: not world.copies("twins", both), LEASE_S + 2)
    world.holds("no leases for either", lambda: not world.copies("twins", both), 5)
    assert len(world.copies("plain", both)) == 2, "best-effort work goes on, on both"
    world.skerry("node", "keep", "n1", "--boot", world.text("n1", "cat", "/proc/sys/kernel/random/boot_id"))
    world.until("the named one has its lease", lambda: world.copies("twins", ["n1"]), REPLACED_S + LEASE_S)
    world.holds("the other has none", lambda: not alive_twice(world), 3)
    world.lab.poweroff("twin")


def alive_twice(world: World) -> bool:
    found = world.copies("twins", ["n1", "twin"])
    assert len(found) < 2, "two at once"
    return False
