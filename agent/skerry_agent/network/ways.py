"""The ways to all of a node's mates: a path for each, and when to look at them again. Pure (see `paths`).

`know` says who they are and where they may be, `looked` what their tunnels show. `direct` are those to whom the direct
way leads now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skerry_protocol.ids import NodeName

from .paths import Action, Begin, Counted, Path, Way, looked, new_path, with_endpoints

LOOK_MS = {Way.TRYING: 1_000, Way.DIRECT: 5_000, Way.RESTING: 15_000}
"""How soon a path is looked at again. An answer to a handshake takes a second at most on any link worth having."""

KEPT_ROUNDS = 3
"""For so many rounds in vain, some seven minutes, a tunnel is kept open between two of them."""


@dataclass(frozen=True)
class Near:
    """A mate that takes direct tunnels: its key there, and where it may be reached (`address:port`), the best first."""

    key: bytes
    endpoints: tuple[str, ...]


class Ways:
    """Every path of this node. Moments are milliseconds that never go back."""

    def __init__(self) -> None:
        self._near: dict[NodeName, Near] = {}
        self._paths: dict[NodeName, Path] = {}

    @property
    def direct(self) -> frozenset[NodeName]:
        """The mates that the direct way leads to."""
        return frozenset(name for name, path in self._paths.items() if path.way is Way.DIRECT)

    @property
    def endpoints(self) -> dict[bytes, str]:
        """Where the tunnels are kept open that are tried or used, by key, or were tried in vain but a few times.

        What is kept open lets in the other side, which may try at another moment, through a NAT; but to send for ever
        where nobody answers would cost more than all else that a node at rest sends.
        """
        kept = {
            name: path for name, path in self._paths.items() if path.way is not Way.RESTING or _is_young(path)
        }
        return {self._near[name].key: path.at for name, path in kept.items()}

    def know(self, near: Mapping[NodeName, Near], now_ms: int) -> dict[bytes, str]:
        """The mates there are now. Which tunnels are to begin where."""
        begun: dict[bytes, str] = {}
        for name in self._paths.keys() - {name for name, one in near.items() if one.endpoints}:
            del self._paths[name]
        for name, one in near.items():
            before = self._near.get(name)
            if before is not None and before.key != one.key:
                self._paths.pop(name, None)  # another tunnel
            if one.endpoints:
                begun |= _begins(one.key, self._known(name, one.endpoints, now_ms))
        self._near = dict(near)
        return begun

    def looked(self, seen: Mapping[bytes, Counted], now_ms: int) -> dict[bytes, str]:
        """What the tunnels show, by key; one that is not there shows nothing. Which are to begin elsewhere."""
        begun: dict[bytes, str] = {}
        for name, path in list(self._paths.items()):
            key = self._near[name].key
            self._paths[name], actions = looked(path, seen.get(key, Counted(0, 0, False)), now_ms)
            begun |= _begins(key, actions)
        return begun

    def due_ms(self) -> int | None:
        """In how many milliseconds to look again; None: there is nothing to look at."""
        return min((LOOK_MS[path.way] for path in self._paths.values()), default=None)

    def _known(self, name: NodeName, endpoints: tuple[str, ...], now_ms: int) -> tuple[Action, ...]:
        path = self._paths.get(name)
        found = new_path(endpoints, now_ms) if path is None else with_endpoints(path, endpoints, now_ms)
        self._paths[name] = found[0]
        return found[1]


def _is_young(path: Path) -> bool:
    return path.rounds <= KEPT_ROUNDS


def _begins(key: bytes, actions: tuple[Action, ...]) -> dict[bytes, str]:
    begins = [action.endpoint for action in actions if isinstance(action, Begin)]
    return {key: begins[-1]} if begins else {}
