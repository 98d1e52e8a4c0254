"""Archives: every hostile kind is refused with its reason, and no link of an accepted one leads out."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_protocol.archive import (
    MEMBERS_MAX,
    RATIO_FREE,
    UNPACKED_MAX,
    BadArtifact,
    Judge,
    Kind,
    Member,
    judge,
    normal,
    unpacked_limit,
)
from skerry_protocol.tar import inspect, members
from tests.tars import GOOD, HOSTILE, entry, packed, tar

PARTS = st.sampled_from(["a", "b", "c", ".."])
PATHS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map("/".join)
TARGETS = st.lists(PARTS, min_size=1, max_size=5).map("/".join)
TREES = st.lists(
    st.one_of(
        st.builds(Member, name=PATHS, kind=st.just(Kind.SYMLINK), link=TARGETS),
        st.builds(Member, name=PATHS, kind=st.just(Kind.FOLDER)),
    ),
    max_size=8,
)


@pytest.mark.parametrize("how", ["tar", "gz", "xz"])
def test_a_good_archive_is_taken(how: str) -> None:
    data = packed(GOOD, how)
    assert inspect(io.BytesIO(data).read, len(data)) == []


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_archive_is_refused_with_the_reason(name: str) -> None:
    data, reason = HOSTILE[name]
    assert reason in "; ".join(inspect(io.BytesIO(data).read, len(data)))


def test_all_reasons_are_told_up_to_a_number() -> None:
    bad = [Member(f"../{number}", Kind.FILE) for number in range(100)]
    reasons = judge(bad, 1 << 20)
    assert len(reasons) == 20
    assert reasons[-1] == "and more"


def test_members_are_counted_with_the_folders_that_paths_imply() -> None:
    whole = Judge(UNPACKED_MAX)
    found = [whole.add(Member(f"{number}/x", Kind.FILE)) for number in range(MEMBERS_MAX // 2 + 1)]
    assert found[-1] == [f"more than {MEMBERS_MAX} members"]
    assert whole.hopeless
    assert not any(found[:-1])


def test_the_limit_grows_with_the_archive_within_bounds() -> None:
    assert unpacked_limit(10) == RATIO_FREE
    assert unpacked_limit(1 << 20) == 200 << 20
    assert unpacked_limit(1 << 40) == UNPACKED_MAX


@given(TREES)
@settings(max_examples=60, deadline=None)
def test_no_chain_of_links_leads_out(tmp_path_factory: pytest.TempPathFactory, tree: list[Member]) -> None:
    """The kernel is the judge: what was accepted is made for real, and every link resolved."""
    root = tmp_path_factory.mktemp("tree")
    whole = Judge(1 << 20)
    for member in tree:
        if whole.add(member):
            continue
        path = root / normal(member.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if member.kind is Kind.SYMLINK:
            path.symlink_to(member.link)
        else:
            path.mkdir(exist_ok=True)
    for place, folders, names in os.walk(root):
        for name in folders + names:
            try:
                real = Path(place, name).resolve(strict=True)
            except (OSError, RuntimeError):
                continue  # leads nowhere, or in a circle
            assert real.is_relative_to(root.resolve())


@given(st.binary(max_size=2000))
def test_any_bytes_are_judged(data: bytes) -> None:
    assert inspect(io.BytesIO(data).read, len(data))


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
@settings(max_examples=200)
def test_a_damaged_archive_is_judged_or_read(at: int, byte: int) -> None:
    data = GOOD[:at] + bytes([byte]) + GOOD[at + 1 :]
    assert isinstance(inspect(io.BytesIO(data).read, len(data)), list)


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(
    st.dictionaries(NAMES.filter(lambda name: name not in {".", ".."}), st.binary(max_size=3000), max_size=5),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.sampled_from(["tar", "gz", "xz"]),
)
@settings(max_examples=60, deadline=None)
def test_what_others_write_is_read(files: dict[str, bytes], form: int, how: str) -> None:
    data = packed(tar(*[entry(name, content=content) for name, content in files.items()], form=form), how)
    read = io.BytesIO(data).read
    found = {
        member.name: b"".join(content)
        for member, content in members(lambda most: read(min(most, 700)), len(data))
    }
    assert found == files


def test_a_content_that_is_not_read_is_passed_over() -> None:
    data = tar(entry("a", content=b"x" * 5000), entry("b", content=b"y"))
    assert [member.name for member, _ in members(io.BytesIO(data).read, len(data))] == ["a", "b"]


def test_several_gzip_members_are_one_archive() -> None:
    data = packed(GOOD[:1000], "gz") + packed(GOOD[1000:], "gz") + bytes(50)
    assert inspect(io.BytesIO(data).read, len(data)) == []


def test_a_sparse_file_is_refused() -> None:
    info, content = entry("a", content=b"x" * 512)
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": "1000000000000"}
    data = tar((info, content))
    assert inspect(io.BytesIO(data).read, len(data)) == ["'a': a sparse file"]


def test_a_lying_size_ends_in_a_refusal() -> None:
    raw = bytearray(tar(entry("a", content=b"x")))
    raw[124:136] = b"77777777777\0"
    raw[148:156] = b"%06o\0 " % (sum(raw[:148]) + 8 * 32 + sum(raw[156:512]))
    assert "unpacks to more" in inspect(io.BytesIO(bytes(raw)).read, len(raw))[0]
    with pytest.raises(BadArtifact, match="cut short"):
        list(members(io.BytesIO(bytes(raw)).read, len(raw)))
