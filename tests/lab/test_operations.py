"""The steps by hand of docs/operations.md, done on a machine that has nothing of Skerry's."""

from __future__ import annotations

from pathlib import Path

from skerry_hub.lab import Lab, mesh
from tests.documents import ROOT, blocks

PAGE = ROOT / "docs/operations.md"


def steps(first: str) -> list[str]:
    """The lines as root of the block in which a line begins so."""
    (block,) = (text for text in blocks(PAGE, "console") if f"# {first}" in text)
    return [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]


def test_a_machine_becomes_a_node_by_hand(bare_lab: Lab, tmp_path: Path) -> None:
    bare_lab.up(1, hub=False, units=tmp_path, tied=True)
    mesh.make_hub(bare_lab)
    bare_lab.hub_start()
    token = mesh.operator(bare_lab, "token", "create").split()[0]
    *install, join = steps("systemctl daemon-reload")
    for line in install:
        bare_lab.run("n1", ["sh", "-ec", f"cd {ROOT}; {line}"])
    assert bare_lab.run("n1", ["sh", "-c", "systemctl is-active skerry-agent"], check=False).returncode != 0
    bare_lab.run("n1", ["sh", "-c", join.replace("TOKEN", token)], timeout=60)
    assert bare_lab.run("n1", ["systemctl", "is-active", "skerry-agent"]).stdout == "active\n"
    assert "ready" in mesh.operator(bare_lab, "nodes")
