"""Safety rules that can be taken away, to see that the simulator notices. Each is one change to what ships."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from skerry_agent.disk.files import Files
from skerry_hub.beats import boots
from skerry_protocol import lease
from skerry_protocol.messages import Beat

from .disk import Disk


def _margin() -> None:
    """The lease's margin: here the next copy starts before the last one has to be gone."""

    def less(lost_after_ms: int) -> int:
        return -4_000

    lease.margin_ms = less


def _sync() -> None:
    """fsync of the folder after a rename: what was switched to may be undone by a power cut."""

    def unsafe(self: Disk, folder: Path) -> None:
        self._step()
        Files.sync(self, folder)

    Disk.sync = unsafe  # type: ignore[method-assign]


def _order() -> None:
    """The order of beats: one that comes late counts."""

    def never(boot: boots.Boot, beat: Beat) -> bool:
        return False

    boots._is_late = never


RULES: dict[str, Callable[[], None]] = {"margin": _margin, "sync": _sync, "order": _order}


def take_away(name: str) -> None:
    """From now on this process has not got that rule."""
    RULES[name]()
