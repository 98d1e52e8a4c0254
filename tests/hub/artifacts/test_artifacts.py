"""The hub's store of artifacts: what is in it is whole and safe, and a push leaves nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry_hub.artifacts.artifacts import ArtifactStore, BadArtifact, NoArtifact, describe
from skerry_protocol.app import Artifact
from tests.tars import GOOD, HOSTILE, artifact, packed


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def push(store: ArtifactStore, data: bytes, sha256: str | None = None) -> Artifact:
    with store.receive(sha256 or artifact(data).sha256) as receiving:
        for start in range(0, len(data), 1000):
            receiving.write(data[start : start + 1000])
        return receiving.finish()


@pytest.mark.parametrize("how", ["tar", "gz", "xz"])
def test_a_pushed_archive_can_be_read(store: ArtifactStore, how: str) -> None:
    data = packed(GOOD, how)
    pushed = push(store, data)
    assert pushed == artifact(data) == store.find(pushed.sha256)
    assert b"".join(store.read(pushed.sha256)) == data
    assert b"".join(store.read(pushed.sha256, 100)) == data[100:]
    assert b"".join(store.read(pushed.sha256, len(data))) == b""
    assert store.list() == (pushed,)


def test_pushing_again_changes_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    assert push(store, GOOD) == push(store, GOOD)
    assert len(list((tmp_path / "artifacts").iterdir())) == 1


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_archive_is_not_kept(store: ArtifactStore, tmp_path: Path, name: str) -> None:
    data, reason = HOSTILE[name]
    with pytest.raises(BadArtifact, match=reason):
        push(store, data)
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_another_digest_is_refused(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(BadArtifact, match="push it again"):
        push(store, GOOD[:-1], artifact(GOOD).sha256)
    assert list((tmp_path / "artifacts").iterdir()) == []


@pytest.mark.parametrize("sha256", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_what_is_no_digest_names_nothing(store: ArtifactStore, sha256: str) -> None:
    assert store.find(sha256) is None
    store.remove(sha256)
    with pytest.raises(BadArtifact, match="no sha256"):
        store.receive(sha256)
    with pytest.raises(NoArtifact, match="no artifact"):
        store.read(sha256)


def test_a_push_that_is_cut_off_leaves_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    with store.receive(artifact(GOOD).sha256) as receiving:
        receiving.write(GOOD[:100])
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_what_a_crash_left_is_swept_and_never_listed(store: ArtifactStore, tmp_path: Path) -> None:
    pushed = push(store, GOOD)
    (tmp_path / "artifacts" / ".tmp-x").write_bytes(b"half")
    assert store.list() == (pushed,)
    store.sweep()
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == [pushed.sha256]


def test_an_offset_beyond_the_end_is_refused(store: ArtifactStore) -> None:
    pushed = push(store, GOOD)
    with pytest.raises(NoArtifact, match="nothing at"):
        store.read(pushed.sha256, pushed.size + 1)


def test_it_can_be_removed(store: ArtifactStore) -> None:
    pushed = push(store, GOOD)
    store.remove(pushed.sha256)
    assert store.list() == ()


def test_an_operator_s_archive_is_judged_before_it_is_pushed(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(GOOD)
    assert describe(path) == artifact(GOOD)
    path.write_bytes(HOSTILE["fifo"][0])
    with pytest.raises(BadArtifact, match=r"a\.tar: 'pipe': a fifo"):
        describe(path)
