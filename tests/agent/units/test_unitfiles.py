"""The files of instances on disk: what a crash left half made does not stay, and what an admin writes is seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from skerry_agent.units import unitfiles
from skerry_agent.units.render import Content, Paths
from skerry_agent.units.unitfiles import UnitFiles
from skerry_protocol.ids import InstanceId


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


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of each unit file as it is read."""
    found: list[str] = []
    read = unitfiles._text

    def counted(path: str) -> str:
        found.append(Path(path).name)
        return read(path)

    monkeypatch.setattr(unitfiles, "_text", counted)
    return found


def of_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there was written a while ago: nobody has to wait for that."""
    monkeypatch.setattr(unitfiles, "SETTLED_NS", -1_000_000_000)


def folder(root: Path, **texts: str) -> UnitFiles:
    for name, text in texts.items():
        (root / f"skerry-{name}-0.service").write_text(text)
    return UnitFiles(Paths(str(root), str(root / "instances"), str(root / "artifacts")))


def test_what_nobody_wrote_to_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    of_old(monkeypatch)
    files = folder(tmp_path, web="one", api="two")
    before = files.seen().files
    assert sorted(reads) == ["skerry-api-0.service", "skerry-web-0.service"]
    reads.clear()
    assert files.seen().files == before
    assert reads == []


def test_what_was_just_written_is_read_again(tmp_path: Path, reads: list[str]) -> None:
    """Two writes may be at one moment of the file system's clock, and then nothing but the text tells them apart."""
    files = folder(tmp_path, web="one")
    files.seen()
    files.seen()
    assert reads == ["skerry-web-0.service"] * 2


def test_an_admins_edit_is_seen_even_where_size_and_time_are_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_old(monkeypatch)
    unit = "skerry-web-0.service"
    files = folder(tmp_path, web="one")
    assert files.seen().files == {unit: "one"}
    was = (tmp_path / unit).stat()
    while (tmp_path / unit).stat().st_ctime_ns == was.st_ctime_ns:  # the clock of a file system is coarse
        (tmp_path / unit).write_text("two")
        os.utime(tmp_path / unit, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert files.seen().files == {unit: "two"}
    (tmp_path / unit).unlink()
    assert files.seen().files == {}


def test_what_is_written_here_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_old(monkeypatch)
    unit = "skerry-web-0.service"
    files = folder(tmp_path, web="one")
    files.seen()
    files.write_unit(unit, "two")
    assert files.seen().files == {unit: "two"}
    files.remove_unit(unit)
    assert files.seen().files == {}


def test_every_folder_of_content_can_be_entered_by_whoever_runs_it(tmp_path: Path) -> None:
    """Also those that only lead to another one, and although the agent makes what others may not read."""
    files, instance = folder(tmp_path), InstanceId("web-0-aaaaaaaaaa")
    before = os.umask(0o077)
    try:
        files.write_tree(instance, "tree", {"files/deep/down/motd": Content(b"hello", 0o444)}, None)
    finally:
        os.umask(before)
    tree = tmp_path / "instances" / instance / "tree"
    assert (tree / "files/deep/down/motd").read_bytes() == b"hello"
    assert {path.stat().st_mode & 0o777 for path in (tree, *tree.rglob("*")) if path.is_dir()} == {0o755}
