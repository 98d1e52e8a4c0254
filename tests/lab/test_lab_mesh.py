"""`skerry lab up` and the demo, as people run them."""

import json
import subprocess
import sys
from pathlib import Path

from skerry_hub.lab import Lab

SKERRY = Path(sys.executable).parent / "skerry"


def skerry(*words: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SKERRY, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
    )


def test_up_makes_a_mesh_whose_nodes_have_joined() -> None:
    try:
        up = skerry("lab", "--name", "meshup", "up", "--nodes", "2")
        assert up.returncode == 0, up.stderr
        settings = Lab("meshup").hub_data / "operator.toml"
        nodes = subprocess.run(
            [SKERRY, "nodes", "--json"],
            capture_output=True,
            text=True,
            check=True,
            env={"SKERRY_CONFIG": str(settings)},
        )
        assert sorted(node["name"] for node in json.loads(nodes.stdout)) == ["n1", "n2"]
    finally:
        skerry("lab", "--name", "meshup", "down")


def test_the_demo_leaves_a_lab_alone_that_is_up(bare_lab: Lab) -> None:
    bare_lab.up(1, hub=False, tied=True)
    done = skerry("lab", "--name", bare_lab.paths.name, "demo", "--no-keep")
    assert done.returncode == 1
    assert "it is up" in done.stderr
    assert bare_lab.node("n1").state == "running"


def test_every_check_of_the_demo_holds() -> None:
    """It waits for losses of 20 and 30 s: more than a minute."""
    done = skerry("lab", "--name", "demotest", "demo", "--no-keep")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert "checks held" in done.stdout
