"""Which way leads to another node: directly, by the first of its endpoints that answers, or through the hub.

One `Path` for each mate, moved on by what its tunnel shows each time somebody looks. The tunnel to the hub always
carries what no direct one does, so a wrong guess costs a detour and never a packet's arrival. Pure: the moment is an
argument (milliseconds that never go back), what is to be done comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

TRY_MS = 6_000
"""For how long one endpoint is tried: a handshake is sent at once and again after 5 s (WireGuard's REKEY_TIMEOUT)."""
SILENT_MS = 20_000
"""What is sent and not answered for so long is lost: WireGuard itself answers within 10 s (KEEPALIVE_TIMEOUT)."""
ANSWERED = 128
"""So many bytes are more than keepalives (32 bytes each), which nobody answers: data, or a new handshake (148)."""
QUIET_MS = 65_000
"""Two keepalives of 25 s and some more: nothing at all came, although the other side sends them."""
REST_MS = 60_000
"""Between two rounds through all endpoints, at first; twice as long after each, up to REST_MOST_MS."""
REST_MOST_MS = 16 * 60_000


class Way(StrEnum):
    """Through the hub and trying the direct way; direct; through the hub and waiting to try again."""

    TRYING = "trying"
    DIRECT = "direct"
    RESTING = "resting"


@dataclass(frozen=True)
class Counted:
    """What the tunnel shows: bytes both ways, and whether a session is there (a handshake in the last 180 s)."""

    received: int
    sent: int
    session: bool


@dataclass(frozen=True)
class Path:
    """`endpoint`: which of the endpoints is tried or used. `heard_ms`: when bytes last came; `sent`: the count then."""

    way: Way
    endpoints: tuple[str, ...]
    endpoint: int
    since_ms: int
    heard_ms: int
    last: Counted = Counted(0, 0, False)
    sent: int = 0
    rounds: int = 0

    @property
    def at(self) -> str:
        """The endpoint that is tried or used."""
        return self.endpoints[self.endpoint]


@dataclass(frozen=True)
class Begin:
    """The tunnel is to send to this endpoint from now on."""

    endpoint: str


@dataclass(frozen=True)
class Turn:
    """The route is to lead directly, or through the hub."""

    direct: bool


Action = Begin | Turn


def new_path(endpoints: Sequence[str], now_ms: int) -> tuple[Path, tuple[Action, ...]]:
    """A path that begins with the first endpoint (at least one)."""
    return _anew(Path(Way.TRYING, tuple(endpoints), 0, now_ms, now_ms), now_ms)


def _anew(path: Path, now_ms: int) -> tuple[Path, tuple[Action, ...]]:
    """From the first endpoint on. What is counted stays: a session that lives says nothing, only what is heard now."""
    path = replace(path, way=Way.TRYING, endpoint=0, since_ms=now_ms, heard_ms=now_ms - 1)
    return path, (Begin(path.at),)


def with_endpoints(path: Path, endpoints: Sequence[str], now_ms: int) -> tuple[Path, tuple[Action, ...]]:
    """Other endpoints became known. What is direct stays so; else they are tried at once."""
    if tuple(endpoints) == path.endpoints:
        return path, ()
    if path.way is Way.DIRECT:
        at = endpoints.index(path.at) if path.at in endpoints else 0
        return replace(path, endpoints=tuple(endpoints), endpoint=at), ()
    return _anew(replace(path, endpoints=tuple(endpoints), rounds=0), now_ms)


def looked(path: Path, seen: Counted, now_ms: int) -> tuple[Path, tuple[Action, ...]]:
    """The path after somebody looked at its tunnel."""
    path = _counted(path, seen, now_ms)
    match path.way:
        case Way.TRYING:
            return _tried(path, now_ms)
        case Way.DIRECT:
            return _used(path, now_ms)
        case Way.RESTING:
            return _rested(path, now_ms)


def _counted(path: Path, seen: Counted, now_ms: int) -> Path:
    """Counters that begin anew are another session's."""
    heard = seen.received != path.last.received
    if heard or seen.sent < path.sent:
        return replace(path, last=seen, heard_ms=now_ms, sent=seen.sent)
    return replace(path, last=seen)


def _tried(path: Path, now_ms: int) -> tuple[Path, tuple[Action, ...]]:
    if path.last.session and path.heard_ms >= path.since_ms:
        return replace(path, way=Way.DIRECT, since_ms=now_ms, heard_ms=now_ms, rounds=0), (Turn(direct=True),)
    if now_ms - path.since_ms < TRY_MS:
        return path, ()
    if path.endpoint + 1 < len(path.endpoints):
        following = replace(path, endpoint=path.endpoint + 1, since_ms=now_ms)
        return following, (Begin(following.at),)
    return replace(path, way=Way.RESTING, since_ms=now_ms, rounds=path.rounds + 1), ()


def _used(path: Path, now_ms: int) -> tuple[Path, tuple[Action, ...]]:
    silence = now_ms - path.heard_ms
    unanswered = path.last.sent - path.sent >= ANSWERED
    if path.last.session and silence < (SILENT_MS if unanswered else QUIET_MS):
        return path, ()
    again, begins = _anew(path, now_ms)
    return again, (Turn(direct=False), *begins)


def _rested(path: Path, now_ms: int) -> tuple[Path, tuple[Action, ...]]:
    """The other side may have found the way first."""
    if path.last.session and path.heard_ms > path.since_ms:
        return replace(path, way=Way.DIRECT, since_ms=now_ms, rounds=0), (Turn(direct=True),)
    if now_ms - path.since_ms < min(REST_MS << min(path.rounds - 1, 8), REST_MOST_MS):
        return path, ()
    return _anew(path, now_ms)
