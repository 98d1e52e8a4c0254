"""What a node answers when its hub asks which assignment it holds: the bytes as they were signed, in parts."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from skerry_agent.disk.disk import StateDir
from skerry_agent.view.answering import PART_BYTES, held
from skerry_protocol import signing
from skerry_protocol.codec import decode, encode
from skerry_protocol.messages import AskPart
from skerry_protocol.signing import Envelope

from .. import builders as b


def kept(folder: Path, label: str) -> tuple[StateDir, bytes]:
    """A disk that accepted an assignment with this label."""
    made = structs.replace(b.assignment_of([], 3), labels={"a": label})
    disk = StateDir(folder)
    disk.prepare()
    envelope = b.envelope(made)
    disk.accept(b.issued(made), envelope)
    return disk, envelope


def test_the_whole_envelope_comes_in_parts(tmp_path: Path) -> None:
    disk, envelope = kept(tmp_path, "x" * (2 * PART_BYTES + 5))
    parts = list(held(disk))
    assert len(parts) == 3
    assert [part.last for part in parts] == [False, False, True]
    assert all(len(encode(part)) < 512 << 10 for part in parts)
    data = b"".join(part.data or b"" for part in parts)
    assert data == envelope
    word = decode(Envelope, data)
    signing.verify(signing.public_key(b.HUB), signing.ASSIGNMENT, word.assignment)


def test_a_node_with_nothing_or_with_damage_says_so(tmp_path: Path) -> None:
    empty = StateDir(tmp_path / "empty")
    empty.prepare()
    assert list(held(empty)) == [AskPart(last=True, error="this node accepted no assignment yet")]
    disk, _ = kept(tmp_path / "damaged", "x")
    (tmp_path / "damaged" / "generations" / "1-1-3" / "envelope").write_bytes(b"?")
    (part,) = held(disk)
    assert part.last
    assert part.error is not None
    assert "damaged" in part.error
