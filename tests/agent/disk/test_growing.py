"""Records of many things: what is read is what was written last, or the one before, or said to be damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, field

from skerry_agent.disk import sealed
from skerry_agent.disk.files import DiskError, Files
from skerry_agent.disk.growing import EVER, SINCE, Growing, difference, files_of, joined
from skerry_agent.disk.sealed import TWIN, Damaged
from skerry_protocol.codec import encode

from .test_disk import Breaks, Quick

NAME = "many"
FILES = files_of(NAME)
HEAVY = 6 << 10  # three such entries are more than is put beside a small record

S = TypeVar("S")


class Many(Struct, frozen=True, omit_defaults=True):
    title: str = ""
    things: dict[str, str] = field(default_factory=dict)
    others: dict[str, tuple[int, ...]] = field(default_factory=dict)


class Counts(Quick):
    """How many bytes were written."""

    def __init__(self) -> None:
        self.written = 0

    def write(self, path: Path, data: bytes, mode: int) -> None:
        self.written += len(data)
        super().write(path, data, mode)


names = st.sampled_from("abcd")
records = st.builds(
    Many,
    st.sampled_from(["", "one", "two"]),
    st.dictionaries(names, st.sampled_from("xyz").map(lambda letter: letter * HEAVY)),
    st.dictionaries(names, st.tuples(st.integers(0, 2))),
)


def record(root: Path, files: Files | None = None) -> Growing[Many]:
    return Growing(root / NAME, Many, files or Quick())


def opened(root: Path, files: Files | None = None) -> Growing[Many]:
    """As an agent's start does: read, and made whole."""
    found = record(root, files)
    found.read()
    for name in (NAME, NAME + SINCE):
        sealed.mend(root / name, Quick())
    found.read()
    return found


def read(root: Path) -> Many | Damaged | None:
    return record(root).read()


def changed(number: int, of: int = 200) -> Many:
    """Many things, of which one is new."""
    return Many("", {f"thing{index}": "x" * 2000 for index in range(of)} | {"thing7": f"version {number}"})


@given(records, records)
def test_what_differs_is_enough(old: Many, new: Many) -> None:
    part, gone = difference(old, new)
    assert joined(old, part, gone) == new


def test_a_change_of_one_thing_writes_little(tmp_path: Path) -> None:
    files = Counts()
    kept = opened(tmp_path, files)
    kept.write(changed(0))
    whole = files.written
    files.written = 0
    kept.write(changed(1))
    assert files.written < whole / 100
    assert read(tmp_path) == changed(1)


def test_a_new_process_continues_what_is_there(tmp_path: Path) -> None:
    opened(tmp_path).write(changed(0))
    for number in (1, 2):
        files = Counts()
        opened(tmp_path, files).write(changed(number))
        assert files.written < 4000
        assert read(tmp_path) == changed(number)


def test_a_record_of_a_release_that_wrote_all_of_it_is_read_and_continued(tmp_path: Path) -> None:
    sealed.write_twice(tmp_path / NAME, encode(changed(0)), Quick())
    assert read(tmp_path) == changed(0)
    opened(tmp_path).write(changed(1))
    assert read(tmp_path) == changed(1)


def test_what_has_grown_is_written_whole(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.write(changed(0))
    before = (tmp_path / NAME).read_bytes()
    many = Many("", {f"thing{index}": "y" * 2000 for index in range(100)})
    kept.write(many)
    assert (tmp_path / NAME).read_bytes() != before
    assert read(tmp_path) == many


def test_what_was_beside_the_same_record_before_does_not_come_back(tmp_path: Path) -> None:
    """Whole as A, then something beside it, whole as B, and whole as A again."""
    a, b = Many("", {"a": "x" * HEAVY * 3}), Many("", {"b": "y" * HEAVY * 3})
    kept = opened(tmp_path)
    for one in (a, Many("beside", a.things), b, a):
        kept.write(one)
        assert read(tmp_path) == one


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(records, st.none() | st.integers(0, 16)), max_size=8))
def test_whatever_breaks_off_leaves_the_old_or_the_new(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[Many, int | None]]
) -> None:
    """Each write by a new process where the one before broke off, else by the same."""
    root = tmp_path_factory.mktemp("state")
    kept, last = opened(root), None
    for new, breaks in writes:
        if breaks is not None:
            kept = opened(root, Breaks(breaks))
        try:
            kept.write(new)
        except DiskError:
            found = read(root)
            assert found in (last, new)
            last = found if isinstance(found, Many) else None
            kept = opened(root)
        else:
            last = new
        assert read(root) == last


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(records, st.none() | st.integers(0, 16)), min_size=1, max_size=6))
def test_a_process_that_goes_on_after_a_failure_keeps_what_it_writes_next(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[Many, int | None]]
) -> None:
    root = tmp_path_factory.mktemp("state")
    files = Breaks(1 << 30)
    kept = opened(root, files)
    for new, breaks in writes:
        files.left = 1 << 30 if breaks is None else breaks
        try:
            kept.write(new)
        except DiskError:
            continue
        assert read(root) == new


def gone(path: Path, raw: bytes, at: int) -> None:
    path.unlink()


def cut(path: Path, raw: bytes, at: int) -> None:
    path.write_bytes(raw[:at])


def flipped(path: Path, raw: bytes, at: int) -> None:
    path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])


@settings(max_examples=150, deadline=None)
@given(st.lists(records, min_size=1, max_size=6), st.data())
def test_damage_is_noticed_and_never_older(
    tmp_path_factory: pytest.TempPathFactory, writes: list[Many], data: st.DataObject
) -> None:
    """All but the loss of every file, which looks like a node that is new."""
    root = tmp_path_factory.mktemp("state")
    kept = opened(root)
    for one in writes:
        kept.write(one)
    there = [name for name in FILES if (root / name).exists() and not name.endswith(EVER)]
    hows: list[Callable[[Path, bytes, int], None]] = [gone, cut, flipped]
    for name in data.draw(st.lists(st.sampled_from(there), unique=True, min_size=1)):
        raw = (root / name).read_bytes()
        data.draw(st.sampled_from(hows))(root / name, raw, data.draw(st.integers(0, len(raw) - 1)))
    found = read(root)
    nothing_left = not any((root / name).exists() for name in FILES)
    assert isinstance(found, Damaged) or found == (None if nothing_left else writes[-1])
    again = opened(root)
    again.write(Many("new"))
    assert read(root) == Many("new")


def test_the_loss_of_what_is_beside_is_damage(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.write(changed(0))
    kept.write(changed(1))
    for end in (SINCE, SINCE + TWIN):
        (tmp_path / f"{NAME}{end}").unlink()
    assert isinstance(read(tmp_path), Damaged)


def test_a_record_that_somebody_took_away_is_not_continued(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.write(changed(0))
    (tmp_path / f"{NAME}{TWIN}").write_bytes(b"rubbish")
    (tmp_path / NAME).unlink()
    kept.write(changed(1))
    assert read(tmp_path) == changed(1)


def test_moved_file_by_file_it_is_damaged_or_gone_at_any_moment(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.write(changed(0))
    kept.write(changed(1))
    for name in FILES:
        assert read(tmp_path) == changed(1) or isinstance(read(tmp_path), Damaged)
        (tmp_path / name).unlink()
    assert read(tmp_path) is None
