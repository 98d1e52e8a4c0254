"""The state folder: what is read back is what was put, or the one before, or said to be damaged."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_agent.disk import sealed
from skerry_agent.disk.disk import Damaged, DiskError, Kept, StateDir, write_atomic
from skerry_agent.disk.files import Files, remove_tree
from skerry_agent.switch.overrides import NotPossible
from skerry_agent.switch.target import State
from skerry_protocol.app import App, Artifact, Availability
from skerry_protocol.codec import encode
from skerry_protocol.ids import AppName, MeshName, NodeId, Region
from skerry_protocol.messages import AppRevision, Assignment, Event, Issued, Version
from skerry_protocol.signing import Envelope, Signed, digest


class Breaks(Files):
    """Real files; the n-th step fails, and all after it: the machine died, or the disk is full."""

    def __init__(self, at: int, number: int = errno.ENOSPC) -> None:
        self.left, self.number = at, number

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(self.number, os.strerror(self.number))

    def write(self, path: Path, data: bytes, mode: int) -> None:
        if self.left == 0:
            path.write_bytes(data[: len(data) // 2])  # a power cut leaves a half-written temporary file
        self._step()
        super().write(path, data, mode)

    def rename(self, old: Path, new: Path) -> None:
        self._step()
        super().rename(old, new)

    def sync(self, folder: Path) -> None:
        self._step()
        super().sync(folder)

    def mkdir(self, folder: Path, mode: int) -> None:
        self._step()
        super().mkdir(folder, mode)

    def unlink(self, path: Path) -> None:
        self._step()
        super().unlink(path)

    def rmtree(self, folder: Path) -> None:
        self._step()
        super().rmtree(folder)


class Quick(Files):
    """Real files that are not forced to the disk, for tests that write a thousand."""

    def write(self, path: Path, data: bytes, mode: int) -> None:
        path.write_bytes(data)

    def sync(self, folder: Path) -> None:
        pass


STEPS = 24


def offer(generation: int, sha: str = "") -> tuple[Issued, bytes]:
    artifacts = {"any": Artifact(sha, 1)} if sha else {}
    app = App(AppName("web"), ("true",), Availability.BEST_EFFORT, artifacts)
    assignment = Assignment(
        MeshName("coast"),
        Region("north"),
        NodeId("n" + "a" * 16),
        Version(1, 1, generation),
        (),
        (AppRevision(1, app),),
    )
    payload = encode(assignment)
    return Issued(assignment.version, digest(payload)), encode(
        Envelope(Signed(payload, b"s" * 64), Signed(b"d", b"s"))
    )


def opened(root: Path, files: Files | None = None) -> StateDir:
    state = StateDir(root, files) if files else StateDir(root)
    StateDir(root, Quick()).prepare()
    return state


def generation(found: Kept | Damaged | None) -> int:
    assert not isinstance(found, Damaged), found
    return found.issued.version.generation if found else 0


def test_a_new_node_has_nothing(tmp_path: Path) -> None:
    state = opened(tmp_path)
    assert state.accepted() is None
    assert state.accepted_pair() is None
    assert state.applied() is None
    assert state.saved("overrides", State) is None


def test_what_was_accepted_is_read_back(tmp_path: Path) -> None:
    issued, envelope = offer(7)
    opened(tmp_path).accept(issued, envelope)
    found = StateDir(tmp_path).accepted()
    assert isinstance(found, Kept)
    assert (found.issued, found.lame) == (issued, "")
    assert (tmp_path / "generations/1-1-7/envelope").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("step", range(STEPS))
@pytest.mark.parametrize("before", [0, 1])
def test_a_crash_at_any_step_leaves_the_old_or_the_new(tmp_path: Path, step: int, before: int) -> None:
    if before:
        opened(tmp_path).accept(*offer(1))
    broken = opened(tmp_path, Breaks(step))
    done = True
    try:
        broken.accept(*offer(2))
    except DiskError:
        done = False
    again = opened(tmp_path)
    assert generation(again.accepted()) in ({2} if done else {before, 2})
    again.accept(*offer(3))
    assert generation(opened(tmp_path).accepted()) == 3


def test_the_crash_test_reaches_the_end(tmp_path: Path) -> None:
    opened(tmp_path, Breaks(STEPS)).accept(*offer(2))


@pytest.mark.parametrize("step", range(8))
def test_a_crash_while_applying_leaves_the_old_or_the_new(tmp_path: Path, step: int) -> None:
    first, second = State(offer(1)[0]), State(offer(2)[0])
    opened(tmp_path).apply(first)
    done = True
    try:
        opened(tmp_path, Breaks(step)).apply(second)
    except DiskError:
        done = False
    assert opened(tmp_path).applied() in ([second] if done else [first, second])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_is_noticed_and_never_older(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("state")
    state = opened(root, Quick())
    for number in (1, 2, 3):
        state.accept(*offer(number))
    names = ["accepted", "accepted.twin", "generations/1-1-3/envelope"]
    for name in data.draw(st.lists(st.sampled_from(names), unique=True, min_size=1)):
        path = root / name
        raw = path.read_bytes()
        cut = data.draw(st.integers(0, len(raw) - 1))
        how = data.draw(st.sampled_from(["gone", "cut", "flip"]))
        if how == "gone":
            path.unlink()
        else:
            path.write_bytes(
                raw[:cut] if how == "cut" else raw[:cut] + bytes([raw[cut] ^ 1]) + raw[cut + 1 :]
            )
    found = StateDir(root).accepted()
    if isinstance(found, Damaged):
        assert found.text.startswith("stored assignment damaged")
    else:
        assert generation(found) == 3


def test_one_damaged_copy_is_said_and_mended_by_the_next_write(tmp_path: Path) -> None:
    state = opened(tmp_path)
    state.accept(*offer(1))
    (tmp_path / "accepted").write_bytes(b"rubbish")
    found = state.accepted()
    assert isinstance(found, Kept)
    assert "its twin is used" in found.lame
    state.accept(*offer(1))
    mended = state.accepted()
    assert isinstance(mended, Kept)
    assert mended.lame == ""


def test_another_assignment_in_its_place_is_damage(tmp_path: Path) -> None:
    state = opened(tmp_path)
    state.accept(*offer(2))
    sealed.write(tmp_path / "generations/1-1-2/envelope", offer(1)[1])
    assert isinstance(state.accepted(), Damaged)
    assert state.accepted_pair() == offer(2)[0]


@given(st.binary(max_size=200))
def test_reading_rubbish_never_raises(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes) -> None:
    root = tmp_path_factory.mktemp("state")
    state = opened(root, Quick())
    for name in ("accepted", "applied"):
        (root / name).write_bytes(rubbish)
        assert isinstance(state.saved(name, Issued), Damaged)
        sealed.write_twice(root / name, rubbish, Quick())
    assert isinstance(state.accepted(), Damaged)
    assert isinstance(state.applied(), Damaged | State)  # an empty map is a state: of nothing


@given(st.binary(max_size=300))
def test_seals(data: bytes) -> None:
    assert sealed.unseal(sealed.seal(data)) == data
    assert sealed.unseal(data) is None or data.startswith(sealed.MAGIC)


def test_records_come_back(tmp_path: Path) -> None:
    state = opened(tmp_path)
    state.save("outbox/box", Event("code", "text", 1))
    assert state.saved("outbox/box", Event) == Event("code", "text", 1)
    assert isinstance(state.saved("outbox/box", NotPossible), Damaged)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    first, second = opened(tmp_path), StateDir(tmp_path)
    refused = pytest.raises(DiskError, match="another skerry-agent")
    with first.locked(), refused, second.locked():
        pass
    with second.locked():
        pass


@pytest.mark.parametrize(("number", "hint"), [(errno.EROFS, "read-only"), (errno.ENOSPC, "make room")])
def test_a_disk_that_takes_nothing_says_what_to_do(tmp_path: Path, number: int, hint: str) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(DiskError, match=hint):
        write_atomic(tmp_path / "file", b"new", 0o644, Breaks(0, number))
    assert (tmp_path / "file").read_text() == "old"


def test_temporary_files_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".tmp-accepted").write_text("half")
    opened(tmp_path)
    assert not (tmp_path / ".tmp-accepted").exists()


def shas(root: Path) -> set[str]:
    return {path.name for path in (root / "artifacts").iterdir()}


def test_collecting_keeps_three_generations_and_what_they_name(tmp_path: Path) -> None:
    state = opened(tmp_path)
    for number in range(1, 7):
        state.accept(*offer(number, f"{number:064x}"))
        (tmp_path / f"artifacts/{number:064x}").mkdir()
    state.apply(State(offer(2)[0]))
    state.collect(frozenset({f"{1:064x}"}), frozenset())
    assert sorted(path.name for path in (tmp_path / "generations").iterdir()) == [
        "1-1-2",
        "1-1-4",
        "1-1-5",
        "1-1-6",
    ]
    assert shas(tmp_path) == {f"{number:064x}" for number in (1, 2, 4, 5, 6)}


def test_what_is_being_unpacked_is_not_collected(tmp_path: Path) -> None:
    """A download goes on beside a switch that ends, and another thread writes there."""
    state = opened(tmp_path)
    state.accept(*offer(1))
    name = f".tmp-unpack-{1:064x}"
    (tmp_path / "artifacts" / name).mkdir()
    assert state.collect(frozenset(), frozenset()) == []
    assert shas(tmp_path) == {name}


def test_a_generation_whose_writing_broke_off_is_no_doubt_and_goes_with_the_old_ones(tmp_path: Path) -> None:
    state = opened(tmp_path)
    for number in range(1, 5):
        state.accept(*offer(number))
    (tmp_path / "generations/1-1-5").mkdir()
    (tmp_path / "generations/1-1-5/.tmp-envelope").write_bytes(b"half")
    state.accept(*offer(6))
    state.apply(State(offer(6)[0]))
    state.collect(frozenset(), frozenset())
    kept = sorted(path.name for path in (tmp_path / "generations").iterdir())
    assert kept == ["1-1-3", "1-1-4", "1-1-6"]


def test_with_a_doubt_nothing_is_collected(tmp_path: Path) -> None:
    state = opened(tmp_path)
    for number in range(1, 7):
        state.accept(*offer(number))
    (tmp_path / "artifacts/old").mkdir()
    (tmp_path / "generations/1-1-5/envelope").write_bytes(b"rubbish")
    assert state.collect(frozenset(), frozenset()) == []
    assert shas(tmp_path) == {"old"}


def test_a_removed_tree_takes_nothing_with_it_that_its_links_lead_to(tmp_path: Path) -> None:
    beside, tree = tmp_path / "beside", tmp_path / "tree"
    (beside / "deep").mkdir(parents=True)
    (beside / "deep/file").write_text("stays")
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/file").write_text("goes")
    (tree / "a/to-folder").symlink_to(beside)
    (tree / "to-file").symlink_to(beside / "deep/file")
    (tree / "to-nothing").symlink_to("nowhere")
    os.mkfifo(tree / "a/pipe")
    remove_tree(tree)
    assert not tree.exists()
    assert (beside / "deep/file").read_text() == "stays"
    with pytest.raises(FileNotFoundError):
        remove_tree(tree)
