"""Promises 1 and 2: running work is not harmed by the control plane's absence, and a cold boot needs nobody."""

import os
import shutil
import signal
from pathlib import Path

from tests.lab.system.world import World

NODES = 3

STARTS_ALONE = """
[app.{name}-own]
run = ["sleep", "inf"]
availability = "best-effort"
per_node = true
[app.{name}-web]
run = ["sleep", "inf"]
availability = "ha"
replicas = 2
[app.{name}-web.ha]
lost_after = "60s"
"""
STEADY = f"""{STARTS_ALONE}
[app.{{name}}-one]
run = ["sleep", "inf"]
availability = "ha"
stop_timeout = "1s"
[app.{{name}}-one.ha]
lost_after = "60s"
overlap = "forbid"
"""


def steady(world: World, name: str) -> dict[tuple[str, str], str]:
    """One app of each kind; what runs then."""
    world.apply(STEADY.format(name=name))
    return world.running()


def still_works(world: World, name: str) -> None:
    """The hub can change things again, after what was done to it or to agents."""
    world.apply(f'[app.{name}]\nrun = ["sleep", "inf"]\navailability = "best-effort"\nper_node = true\n')
    assert len(world.copies(name)) == NODES


def test_work_goes_on_whatever_happens_to_the_hub(world: World) -> None:
    before = steady(world, "h")
    world.lab.hub_stop()
    assert world.running() == before
    world.lab.hub_start()
    world.lab.hub_kill()
    assert world.running() == before
    world.lab.hub_start()
    world.lab.hub_kill(everything=True)
    world.lab.hub_start()
    still_works(world, "h-after")
    assert before.items() <= world.running().items()


def test_work_goes_on_when_the_message_server_is_killed_and_loses_its_store(world: World) -> None:
    before = steady(world, "m")
    os.kill(nats_server(world), signal.SIGKILL)
    still_works(world, "m-killed")
    world.lab.hub_stop()
    lose_store(world)
    world.lab.hub_start()
    still_works(world, "m-wiped")
    world.settled("m-own", "m-web", "m-one")
    assert before.items() <= world.running().items()


def nats_server(world: World) -> int:
    """The process of this lab's nats-server, as this machine numbers it."""
    data = str(world.lab.hub_data).encode()
    for process in Path("/proc").iterdir():
        words = (process / "cmdline").read_bytes() if process.name.isdigit() else b""
        if b"nats-server" in words and data in words:
            return int(process.name)
    raise AssertionError("no nats-server runs")


def lose_store(world: World) -> None:
    """JetStream's streams are gone at once: a server that runs writes into them while a folder is emptied."""
    data = world.lab.hub_data
    found = [path for path in data.rglob("jetstream") if path.is_dir() and path.parent.name != "jetstream"]
    assert found, "JetStream has a store"
    for number, store in enumerate(found):
        lost = data.with_name(f"lost{number}")
        store.rename(lost)
        shutil.rmtree(lost)


def test_work_goes_on_whatever_happens_to_agents(world: World) -> None:
    before = steady(world, "a")
    world.systemctl("n1", "stop", "skerry-agent.service")
    world.lab.kill_agent("n2")
    world.lab.kill_agent("n3", "STOP")
    assert world.running() == before
    world.until(
        "the killed one is back", lambda: world.shown("n2", "skerry-agent", "ActiveState") == "active"
    )
    world.systemctl("n1", "start", "skerry-agent.service")
    world.lab.kill_agent("n3", "CONT")
    still_works(world, "a-after")
    assert before.items() <= world.running().items()


def test_a_cold_boot_needs_no_hub_and_no_agent(world: World) -> None:
    world.apply(STARTS_ALONE.format(name="b"))
    wanted = {name for _, name in world.running(["n1"]) if not name.endswith("-one-1")}
    assert wanted >= {"b-own-1"}
    world.lab.hub_stop()
    world.lab.poweroff("n1", "n2", "n3")
    world.lab.boot("n1")
    up = {name for _, name in world.running(["n1"])}
    assert wanted <= up, "everything is up as soon as systemd has no job left"
    world.systemctl("n1", "disable", "--now", "skerry-agent.service", "skerry-restore.service")
    world.lab.poweroff("n1")
    world.lab.boot("n1")
    assert world.shown("n1", "skerry-agent", "ActiveState") == "inactive"
    assert wanted <= {name for _, name in world.running(["n1"])}
    world.systemctl("n1", "enable", "skerry-restore.service")
    world.systemctl("n1", "enable", "--now", "skerry-agent.service")


def test_a_boot_puts_back_a_unit_file_that_is_gone_with_no_hub(world: World) -> None:
    world.apply(
        '[app.back]\nrun = ["sleep", "inf"]\navailability = "best-effort"\n[app.back.place]\nnodes = ["n2"]\n'
    )
    world.lab.hub_stop()
    world.run("n2", "rm", "/etc/systemd/system/skerry-back-1.service")
    world.lab.poweroff("n2")
    world.lab.boot("n2")
    world.until("it is up again", lambda: world.copies("back", ["n2"]))


def test_what_cannot_be_verified_is_not_used_and_harms_nothing(world: World) -> None:
    world.apply(STARTS_ALONE.format(name="v"))
    before = world.running(["n3"])
    world.lab.hub_stop()
    world.systemctl("n3", "stop", "skerry-agent.service")
    world.run(
        "n3", "sh", "-c", "for f in $(find /var/lib/skerry/generations -type f); do echo broken > $f; done"
    )
    world.systemctl("n3", "start", "skerry-agent.service")
    world.until("the node says so", lambda: "damaged" in world.text("n3", "skerry-agent", "status"))
    assert world.running(["n3"]) == before
    world.lab.hub_start()
    still_works(world, "v-after")
    assert before.items() <= world.running(["n3"]).items()
    assert "damaged" not in world.text("n3", "skerry-agent", "status")
    world.until("the hub hears", lambda: any(one.code == "assignment-damaged" for one in world.events()))
