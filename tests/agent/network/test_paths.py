from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.network.paths import (
    QUIET_MS,
    REST_MOST_MS,
    REST_MS,
    SILENT_MS,
    TRY_MS,
    Action,
    Begin,
    Counted,
    Path,
    Turn,
    Way,
    looked,
    new_path,
    with_endpoints,
)

LAN, OUTSIDE = "192.168.1.7:4000", "203.0.113.9:5000"
LOOK_MS = 1000
KEEPALIVE_MS, KEEPALIVE, INITIATION, PACKET = 25_000, 32, 148, 1400


@dataclass
class Tunnel:
    """A tunnel as WireGuard has it: handshakes come about where the endpoint answers, and end after 180 s without."""

    answers: set[str]
    data: bool = False
    path: Path = field(init=False)
    now: int = 0
    to: str = ""
    direct: bool = False
    received: int = 0
    sent: int = 0
    session_ms: int | None = None
    log: list[tuple[int, Action]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path, actions = new_path((LAN, OUTSIDE), 0)
        self.do(actions)

    def do(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            self.log.append((self.now, action))
            match action:
                case Begin(endpoint):
                    self.to = endpoint
                case Turn(direct):
                    self.direct = direct

    def live(self, ms: int) -> Tunnel:
        for _ in range(ms // LOOK_MS):
            self.now += LOOK_MS
            self.carry()
            session = self.session_ms is not None and self.now - self.session_ms < 180_000
            self.path, actions = looked(self.path, Counted(self.received, self.sent, session), self.now)
            self.do(actions)
        return self

    def carry(self) -> None:
        heard = self.to in self.answers
        if heard and (self.session_ms is None or self.now - self.session_ms >= 120_000):
            self.session_ms, self.received, self.sent = self.now, self.received + 92, self.sent + INITIATION
        if not heard and self.now % 5000 == 0 and self.path.way is Way.TRYING:
            self.sent += INITIATION
        if self.now % KEEPALIVE_MS == 0:
            self.sent += KEEPALIVE
            self.received += KEEPALIVE if heard else 0
        if self.data and self.direct:
            self.sent += PACKET
            self.received += PACKET if heard else 0


def test_the_first_endpoint_that_answers_is_used() -> None:
    assert Tunnel({LAN, OUTSIDE}).live(3000).log == [(0, Begin(LAN)), (1000, Turn(direct=True))]


def test_the_next_is_tried_where_one_does_not_answer() -> None:
    tunnel = Tunnel({OUTSIDE}).live(2 * TRY_MS)
    assert tunnel.log == [(0, Begin(LAN)), (6000, Begin(OUTSIDE)), (7000, Turn(direct=True))]


def test_where_none_answers_rounds_become_rare() -> None:
    tunnel = Tunnel(set()).live(4 * 3_600_000)
    rounds = [at for at, action in tunnel.log if action == Begin(LAN)]
    pauses = [later - earlier for earlier, later in itertools.pairwise(rounds)]
    assert pauses[0] == REST_MS + 2 * TRY_MS
    assert pauses == sorted(pauses)
    assert pauses[-1] == REST_MOST_MS + 2 * TRY_MS
    assert not tunnel.direct


@pytest.mark.parametrize("data", [False, True])
def test_a_way_that_carries_is_kept_for_ever(data: bool) -> None:
    tunnel = Tunnel({LAN}, data).live(3_600_000)
    assert len(tunnel.log) == 2


@pytest.mark.parametrize(("data", "within"), [(True, SILENT_MS), (False, QUIET_MS)])
def test_a_way_that_dies_is_left_for_the_hub(data: bool, within: int) -> None:
    tunnel = Tunnel({LAN}, data).live(100_000)
    tunnel.answers.clear()
    tunnel.live(within)
    assert tunnel.direct is False
    tunnel.answers.add(OUTSIDE)
    assert tunnel.live(2 * TRY_MS).direct


def test_the_other_side_may_find_the_way_first() -> None:
    tunnel = Tunnel(set()).live(3 * TRY_MS)
    assert tunnel.path.way is Way.RESTING
    tunnel.answers.add(tunnel.to)
    assert tunnel.live(2000).direct


def test_other_endpoints_do_not_disturb_what_is_direct() -> None:
    tunnel = Tunnel({LAN}).live(5000)
    path, actions = with_endpoints(tunnel.path, ("198.51.100.1:1", LAN), tunnel.now)
    assert (path.at, actions) == (LAN, ())


def test_other_endpoints_are_tried_at_once_where_none_answered() -> None:
    tunnel = Tunnel(set()).live(100_000)
    path, actions = with_endpoints(tunnel.path, ("198.51.100.1:1",), tunnel.now)
    assert (path.way, actions) == (Way.TRYING, (Begin("198.51.100.1:1"),))


@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from([LAN, OUTSIDE])), st.integers(1, 90), st.booleans()), max_size=8
    )
)
def test_after_any_weather_a_link_that_holds_is_found(weather: list[tuple[set[str], int, bool]]) -> None:
    tunnel = Tunnel(set())
    for answers, seconds, data in weather:
        tunnel.answers, tunnel.data = answers, data
        tunnel.live(seconds * 1000)
    tunnel.answers = {OUTSIDE}
    assert tunnel.live(REST_MOST_MS + QUIET_MS + 3 * TRY_MS).direct
    assert tunnel.to == OUTSIDE


def lost() -> Path:
    """One that was direct, and whose session still lives when it is given up."""
    path, _ = new_path([LAN, OUTSIDE], 0)
    path, _ = looked(path, Counted(92, 148, True), 1)
    path, actions = looked(path, Counted(92, 1480, True), SILENT_MS + 1)
    assert actions == (Turn(direct=False), Begin(LAN))
    return path


def test_what_was_given_up_is_not_taken_again_before_something_is_heard() -> None:
    path, actions = looked(lost(), Counted(92, 1480, True), SILENT_MS + 1)
    assert (path.way, actions) == (Way.TRYING, ())
    path, actions = looked(path, Counted(184, 1480, True), SILENT_MS + 2)
    assert (path.way, actions) == (Way.DIRECT, (Turn(direct=True),))


def test_nor_because_another_endpoint_became_known() -> None:
    path, actions = with_endpoints(lost(), [OUTSIDE], SILENT_MS + 1)
    assert actions == (Begin(OUTSIDE),)
    path, actions = looked(path, Counted(92, 1480, True), SILENT_MS + 2)
    assert (path.way, actions) == (Way.TRYING, ())
