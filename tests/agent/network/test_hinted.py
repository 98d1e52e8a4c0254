"""What a hub tells of others is kept, and what it was told is said once."""

from pathlib import Path

import pytest

from skerry_agent.disk import sealed
from skerry_agent.disk.files import REAL
from skerry_agent.network.hinted import Beside, Hinted, Ways
from skerry_agent.network.records import HINT
from skerry_protocol.ids import NodeName
from skerry_protocol.messages import BeatReply, Hint

from ..noderig import FullDisk

LAN, OTHER = ("192.168.1.7:50000",), ("192.168.1.8:50000",)
TOLD = Hint({NodeName("n2"): ("203.0.113.9:50000",)}, ("fd00::1",))


@pytest.fixture
def hinted(tmp_path: Path) -> Hinted:
    return Hinted(tmp_path, REAL)


def said(hinted: Hinted, lan: tuple[str, ...], reply: BeatReply | None) -> tuple[str, ...] | None:
    """What a beat says of it; the reply to it, where there is one."""
    ways = hinted.sending(Ways(lan)).ways
    if reply is not None:
        hinted.answered(reply)
    return None if ways is None else ways.lan


def test_where_it_is_it_says_until_that_is_answered_and_again_when_it_is_elsewhere(hinted: Hinted) -> None:
    reply = BeatReply(1, 1)
    assert [said(hinted, LAN, answer) for answer in (None, reply, reply)] == [LAN, LAN, None]
    assert [said(hinted, OTHER, reply) for _ in range(2)] == [OTHER, None]
    assert [said(hinted, (), reply) for _ in range(2)] == [(), None]


def test_how_much_the_way_takes_is_said_as_well(hinted: Hinted) -> None:
    told = []
    for narrow in (0, 1300, 1300, 0, 0):
        told.append(hinted.sending(Ways((), narrow)).ways)
        hinted.answered(BeatReply(1, 1))
    assert told == [None, Ways((), 1300), None, Ways(), None]


def test_a_new_connection_and_a_hub_with_another_term_are_told_again(hinted: Hinted) -> None:
    said(hinted, LAN, BeatReply(1, 1))
    hinted.connected()
    assert said(hinted, LAN, BeatReply(1, 2)) == LAN
    assert said(hinted, LAN, BeatReply(2, 1)) is None, "nobody knows yet"
    assert said(hinted, LAN, BeatReply(2, 2)) == LAN
    assert said(hinted, LAN, BeatReply(2, 3)) is None


def test_what_it_is_told_is_kept_for_skerry_net_and_named_in_beats(hinted: Hinted, tmp_path: Path) -> None:
    assert hinted.sending(Ways()) == Beside()
    hinted.answered(BeatReply(1, 1, hint=TOLD))
    assert hinted.sending(Ways()).hint == TOLD.digest
    assert sealed.read_twice(tmp_path / HINT) == sealed.Twice(sealed.bytes_of(TOLD))
    assert Hinted(tmp_path, REAL).sending(Ways()).hint == TOLD.digest, "also by another agent"
    hinted.answered(BeatReply(1, 2, hint=Hint()))
    assert hinted.sending(Ways()).hint == b""
    assert sealed.read_twice(tmp_path / HINT) == sealed.Twice(sealed.bytes_of(Hint()))


def test_what_cannot_be_written_is_not_held(tmp_path: Path) -> None:
    full = FullDisk()
    full.left = 0
    hinted = Hinted(tmp_path, full)
    hinted.answered(BeatReply(1, 1, hint=TOLD))
    assert hinted.sending(Ways()).hint == b""


def test_what_was_damaged_is_asked_for_again(hinted: Hinted, tmp_path: Path) -> None:
    hinted.answered(BeatReply(1, 1, hint=TOLD))
    for name in (HINT, f"{HINT}.twin"):
        (tmp_path / name).write_bytes(b"rubbish")
    assert Hinted(tmp_path, REAL).sending(Ways()).hint == b""
