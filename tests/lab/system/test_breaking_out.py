"""Workloads that try to get out of their sandbox, and what a machine's admin permits and takes back."""

from __future__ import annotations

import json

from tests.lab.system.world import World

NODES = 1
# Each is tried inside of an instance; it may print nothing but its error.
TRIES = {
    "write /etc": "open('/etc/x', 'w')",
    "the machine's key": "open('/var/lib/skerry/identity/machine.key', 'rb').read()",
    "the policy": "os.listdir('/etc/skerry')",
    "another's volume": "os.listdir('/var/lib/private/skerry-volumes/keeper-1/data')",
    "another's open volume": "os.listdir('/var/lib/skerry-volumes/daemon-1/data')",
    "the system bus": "socket.socket(socket.AF_UNIX).connect('/run/dbus/system_bus_socket')",
    "systemd's own socket": "socket.socket(socket.AF_UNIX).connect('/run/systemd/private')",
    "the agent's socket": "socket.socket(socket.AF_UNIX).connect('/run/skerry/agent.sock')",
    "a process of another": "open('/proc/1/environ', 'rb').read()",
    "the network": "socket.create_connection(('10.77.0.2', 7400), 2)",
    "a namespace": "os.setuid(0)",
    "the kernel's log": "open('/dev/kmsg').read(1)",
}
SPY = """
import json, os, socket, time
found = {}
for name, code in json.loads(os.environ["TRIES"]).items():
    try:
        exec(code)
        found[name] = "done"
    except OSError as error:
        found[name] = type(error).__name__
print("FOUND", json.dumps(found), flush=True)
time.sleep(99999)
"""
APPS = f"""
[app.keeper]
run = ["/bin/sleep", "inf"]
availability = "best-effort"
volumes.data = "/data"

[app.daemon]
run = ["/bin/sleep", "inf"]
availability = "best-effort"
user = "daemon"
volumes.data = "/data"

[app.spy]
run = ["/usr/bin/python3", "-c", '''{SPY}''']
availability = "best-effort"
env.TRIES = '''{json.dumps(TRIES)}'''
"""
PERMITS = '[app.daemon]\\nallow = ["user:daemon"]\\n'


def permit(world: World, text: str) -> None:
    """As an admin does, with an editor."""
    world.run("n1", "sh", "-c", f"printf '{text}' > /etc/skerry/policy.toml")


def test_an_instance_sees_and_reaches_nothing_that_is_not_its_own(world: World) -> None:
    world.run("n1", "mkdir", "-p", "/etc/skerry")
    permit(world, PERMITS)
    world.apply(APPS)
    said = world.until(
        "it has tried everything",
        lambda: [line for line in log(world, "spy") if line.startswith("FOUND ")],
    )
    found = json.loads(said[-1].removeprefix("FOUND "))
    assert set(found) == set(TRIES)
    assert [name for name, outcome in found.items() if outcome == "done"] == []


def test_the_policy_is_heeded_when_it_changes_and_ends_nothing_that_runs(world: World) -> None:
    permit(world, "")
    world.begin(
        '[app.wide]\nrun = ["/bin/sleep", "inf"]\navailability = "best-effort"\nsandbox.allow = ["home"]\n'
    )
    world.until(
        "it is refused", lambda: "does not permit home" in world.text("n1", "skerry-agent", "why", "wide")
    )
    permit(world, '[app.wide]\\nallow = ["home"]\\n')
    (before,) = (world.comes_up("wide", ["n1"]),)
    permit(world, "allow = [")
    world.until(
        "it says so", lambda: any(one.startswith("policy") for one in world.agent_status("n1").conditions)
    )
    assert world.unit("n1", "wide-1").run == before.run
    permit(world, "")
    world.until("it is mended", lambda: world.agent_status("n1").conditions == ())
    assert world.unit("n1", "wide-1").run == before.run


def log(world: World, app: str) -> list[str]:
    return world.text("n1", "journalctl", "-o", "cat", "-u", f"skerry-{app}-1.service").splitlines()
