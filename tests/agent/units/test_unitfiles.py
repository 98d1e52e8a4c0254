"""The files of instances on disk: what a crash left half made does not stay."""

from __future__ import annotations

from pathlib import Path

from skerry_agent.units.render import Paths
from skerry_agent.units.unitfiles import UnitFiles


def test_what_a_crash_left_half_made_is_swept_and_nothing_else(tmp_path: Path) -> None:
    units, instances = tmp_path / "units", tmp_path / "instances"
    home = instances / "web-1-aaaaaaaaaa"
    for folder in (units / "skerry.target.wants", home / ".tmp-new-tree/files", home / "tree"):
        folder.mkdir(parents=True)
    kept = [units / ".tmp-somebody.service", units / "skerry-web-1.service", home / "tree", home / "current"]
    (home / "current").symlink_to("tree")
    for file in kept[:2]:
        file.write_text("kept")
    (units / ".tmp-skerry-web-2.service").write_text("half")
    (units / "skerry.target.wants/.tmp-skerry-web-2.service").symlink_to("../skerry-web-2.service")
    (home / ".tmp-current").symlink_to("tree")
    files = UnitFiles(Paths(str(units), str(instances), str(tmp_path / "artifacts")))
    files.sweep()
    folders = {units, instances, home, units / "skerry.target.wants"}
    assert set(tmp_path.rglob("*")) == folders | set(kept)
