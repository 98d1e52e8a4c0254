"""A node's reports are taken in their order, and a gap that is never filled holds nobody up for ever."""

from __future__ import annotations

from skerry_hub.nats.reports import GONE_S, LATER_S, Waiting
from skerry_protocol.ids import NodeId

ONE, OTHER = NodeId("one"), NodeId("other")


def test_what_follows_one_that_comes_again_waits_for_it() -> None:
    waiting = Waiting()
    assert waiting.is_next(ONE, 5, 0)
    waiting.comes_again(ONE, 5, 0)
    assert not waiting.is_next(ONE, 6, 1)
    waiting.comes_again(ONE, 6, 1)
    assert waiting.is_next(OTHER, 7, 1)
    assert not waiting.is_next(ONE, 6, LATER_S)  # it may come again first
    assert waiting.is_next(ONE, 5, LATER_S)
    waiting.done(ONE, 5)
    assert waiting.is_next(ONE, 6, LATER_S)
    waiting.done(ONE, 6)
    assert waiting.is_next(ONE, 7, LATER_S)


def test_one_that_has_gone_from_the_stream_is_not_waited_for() -> None:
    waiting = Waiting()
    waiting.comes_again(ONE, 5, 0)
    for at in range(0, int(GONE_S), int(LATER_S)):
        assert not waiting.is_next(ONE, 6, at)
        waiting.comes_again(ONE, 6, at)
    assert waiting.is_next(ONE, 6, GONE_S)
