"""Without faults the simulated disk does as the real file system does; with them, what a power cut may undo, it may."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.disk import files
from skerry_agent.disk.files import DiskError, Files

from .disk import Dead, Disk

NAMES = st.sampled_from(["a", "b", "c", "d/e", "d"])
Step = Callable[[Path, Files], object]


def died() -> None:
    """Nobody who would mind."""


def disk(seed: int = 1) -> Disk:
    return Disk(Random(seed), died)


STEPS: dict[str, Callable[[str, str, bytes], Step]] = {
    "write": lambda a, _b, data: lambda at, disk: disk.write(at / a, data, 0o640),
    "rename": lambda a, b, _data: lambda at, disk: disk.rename(at / a, at / b),
    "sync": lambda a, _b, _data: lambda at, disk: disk.sync(at / a),
    "mkdir": lambda a, _b, _data: lambda at, disk: disk.mkdir(at / a, 0o750),
    "symlink": lambda a, b, _data: lambda at, disk: disk.symlink(b, at / a),
    "unlink": lambda a, _b, _data: lambda at, disk: disk.unlink(at / a),
    "rmtree": lambda a, _b, _data: lambda at, disk: disk.rmtree(at / a),
    "write_atomic": lambda a, _b, data: lambda at, disk: files.write_atomic(at / a, data, 0o600, disk),
    "link_atomic": lambda a, b, _data: lambda at, disk: files.link_atomic(at / a, b, disk),
    "make_folder": lambda a, _b, _data: lambda at, disk: files.make_folder(at / a, 0o700, disk),
    "remove": lambda a, _b, _data: lambda at, disk: files.remove(at / a, disk),
    "remove_folder": lambda a, _b, _data: lambda at, disk: files.remove_folder(at / a, disk),
}
Asked = tuple[str, str, str, bytes]
ASKED = st.tuples(st.sampled_from(sorted(STEPS)), NAMES, NAMES, st.binary(max_size=8))


def came_of(at: Path, disk: Files, asked: Asked) -> str:
    """How a step ended: the error that it raised, without where."""
    name, one, other, data = asked
    try:
        STEPS[name](one, other, data)(at, disk)
    except OSError as error:
        return f"{type(error).__name__} {error.errno} {str(error).replace(str(at), '')}"
    return ""


def seen(at: Path) -> dict[str, tuple[str, int, bytes]]:
    """All that is there: kind, mode, content."""
    found = {}
    for path in sorted(at.rglob("*")):
        mode = path.lstat().st_mode
        content = (
            str(path.readlink()).encode()
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else b""
        )
        found[str(path.relative_to(at))] = (stat.filemode(mode)[0], stat.S_IMODE(mode), content)
    return found


@given(st.lists(ASKED, max_size=12))
def test_without_faults_it_does_as_the_real_one(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Asked]
) -> None:
    real, simulated = tmp_path_factory.mktemp("real"), tmp_path_factory.mktemp("simulated")
    fake = disk()
    for asked in steps:
        assert came_of(simulated, fake, asked) == came_of(real, files.REAL, asked), asked
        assert seen(simulated) == seen(real), asked


@given(st.integers(0, 50))
def test_what_was_written_through_survives_a_power_cut(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    at, fake = tmp_path_factory.mktemp("disk"), disk(seed)
    for data in (b"one", b"two"):
        files.write_atomic(at / "kept", data, 0o600, fake)
    files.link_atomic(at / "link", "kept", fake)
    files.write_atomic(at / "gone", b"x", 0o600, fake)
    files.remove(at / "gone", fake)
    before = seen(at)
    fake.cut_power()
    assert seen(at) == before


def test_what_was_not_may_be_undone_in_order(tmp_path: Path) -> None:
    """Each end of a power cut comes up: nothing undone, the last of two names, both."""
    ends = set()
    for seed in range(50):
        at, fake = tmp_path / str(seed), disk(seed)
        at.mkdir()
        files.write_atomic(at / "a", b"old", 0o600, fake)
        for name in ("a", "b"):
            fake.write(at / "new", b"new", 0o600)
            fake.rename(at / "new", at / name)
        fake.cut_power()
        assert (at / "a").read_bytes() == b"new" or not (at / "b").exists()
        ends.add(((at / "a").read_bytes(), (at / "b").exists()))
        assert seen(at)["a"][1] == 0o600
    assert ends == {(b"new", True), (b"new", False), (b"old", False)}


def test_a_process_that_died_does_nothing_more(tmp_path: Path) -> None:
    fake = disk()
    files.write_atomic(tmp_path / "a", b"one", 0o600, fake)
    for left in (1, 2, 3):  # write, rename, sync
        fake.steps_left = left
        with pytest.raises(Dead):
            files.write_atomic(tmp_path / "a", b"two", 0o600, fake)
        with pytest.raises(Dead):
            files.remove(tmp_path / "a", fake)
        assert (tmp_path / "a").read_bytes() == (b"one" if left < 3 else b"two")
        fake.revive()
    with pytest.raises(DiskError):
        files.write_atomic(tmp_path / "no" / "a", b"one", 0o600, fake)
