"""Unpacking: once, read-only, whole or not at all."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from skerry_agent.artifacts.unpack import BadArtifact, folder_of, remove, sweep, unpack
from skerry_agent.disk.files import UNPACKING
from skerry_protocol.app import Artifact
from tests.tars import GOOD, HOSTILE, artifact, entry, packed, tar


def put(folder: Path, data: bytes) -> Path:
    path = folder / "in.tar"
    path.write_bytes(data)
    return path


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.mark.parametrize("how", ["tar", "gz", "xz"])
def test_a_good_archive_is_unpacked_read_only(tmp_path: Path, artifacts: Path, how: str) -> None:
    data = packed(GOOD, how)
    folder = unpack(put(tmp_path, data), artifact(data), artifacts)
    assert folder == folder_of(artifacts, artifact(data).sha256)
    assert (folder / "bin/serve").read_bytes() == b"#!/bin/sh\n"
    assert (folder / "etc/deep/motd").read_bytes() == b"hello" * 1000
    assert (folder / "bin/latest").readlink() == Path("serve")
    assert (folder / "etc/same").samefile(folder / "bin/serve")
    assert (folder / ("long/" * 30 + "name" * 20)).read_bytes() == b"x"
    assert (folder / "ünïcode").exists()
    modes = {
        stat.S_IMODE(path.lstat().st_mode)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    assert modes == {0o444, 0o555}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "bin", folder / "etc/deep")} == {
        0o555
    }
    assert {path.lstat().st_uid for path in folder.rglob("*")} == {os.geteuid()}
    assert [path.name for path in artifacts.iterdir()] == [folder.name]


def test_it_is_unpacked_once(tmp_path: Path, artifacts: Path) -> None:
    path = put(tmp_path, GOOD)
    first = unpack(path, artifact(GOOD), artifacts)
    number = first.stat().st_ino
    path.unlink()
    assert unpack(path, artifact(GOOD), artifacts).stat().st_ino == number


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_archive_leaves_nothing_behind(tmp_path: Path, artifacts: Path, name: str) -> None:
    data, reason = HOSTILE[name]
    with pytest.raises(BadArtifact, match=reason):
        unpack(put(tmp_path, data), artifact(data), artifacts)
    assert list(artifacts.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "in.tar"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (GOOD + b"\0", "or more, not"),
        (GOOD[:-1], "bytes or more, not"),
        (GOOD.replace(b"hello", b"hallo", 1), "its sha256 is"),
        (b"", "it has 0 bytes"),
    ],
    ids=["longer", "shorter", "changed", "empty"],
)
def test_another_archive_than_the_one_of_the_digest_is_refused(
    tmp_path: Path, artifacts: Path, data: bytes, reason: str
) -> None:
    with pytest.raises(BadArtifact, match=reason):
        unpack(put(tmp_path, data), artifact(GOOD), artifacts)
    assert list(artifacts.iterdir()) == []


def test_a_missing_archive_leaves_nothing_behind(tmp_path: Path, artifacts: Path) -> None:
    with pytest.raises(FileNotFoundError):
        unpack(tmp_path / "none", artifact(GOOD), artifacts)
    assert list(artifacts.iterdir()) == []


def test_what_a_crash_left_is_replaced(tmp_path: Path, artifacts: Path) -> None:
    left = artifacts / f"{UNPACKING}{artifact(GOOD).sha256}"
    (left / "half").mkdir(parents=True)
    (left / "half").chmod(0o555)
    folder = unpack(put(tmp_path, GOOD), artifact(GOOD), artifacts)
    assert not (folder / "half").exists()
    left.mkdir()
    sweep(artifacts)
    assert list(artifacts.iterdir()) == [folder]


def test_one_whose_folder_is_taken_away_meanwhile_is_not_unpacked_by_half(
    tmp_path: Path, artifacts: Path
) -> None:
    data = tar(
        entry("bin/serve", content=b"#!/bin/sh\n"),
        entry("large", content=b"x" * (1 << 20)),
        entry("last", content=b"y"),
    )
    pipe, taken = tmp_path / "in.tar", tmp_path / "taken"
    os.mkfifo(pipe)

    def feed() -> None:
        with pipe.open("wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()  # it is so large that by now it reads the second member
            artifacts.joinpath(f"{UNPACKING}{artifact(data).sha256}").rename(taken)
            with suppress(BrokenPipeError):
                file.write(data[len(data) // 2 :])

    with ThreadPoolExecutor() as pool:
        fed = pool.submit(feed)
        with pytest.raises(FileNotFoundError):
            unpack(pipe, artifact(data), artifacts)
        fed.result()
    assert (taken / "bin/serve").exists()
    assert list(artifacts.iterdir()) == []


def test_it_can_be_removed(tmp_path: Path, artifacts: Path) -> None:
    folder = unpack(put(tmp_path, GOOD), artifact(GOOD), artifacts)
    remove(artifacts, folder.name)
    remove(artifacts, folder.name)
    assert list(artifacts.iterdir()) == []


def test_an_archive_of_many_files(tmp_path: Path, artifacts: Path) -> None:
    data = tar(*[entry(f"f{number}", content=b"%d" % number) for number in range(300)])
    folder = unpack(put(tmp_path, data), artifact(data), artifacts)
    assert (folder / "f299").read_bytes() == b"299"


def test_the_size_that_is_claimed_bounds_what_is_unpacked(tmp_path: Path, artifacts: Path) -> None:
    """The bound follows from the signed size, not from the file that came."""
    data = packed(tar(entry("zeros", content=bytes(8 << 20))), "gz")
    small = Artifact(artifact(data).sha256, 100)
    with pytest.raises(BadArtifact, match="not 100"):
        unpack(put(tmp_path, data), small, artifacts)
    assert list(artifacts.iterdir()) == []
