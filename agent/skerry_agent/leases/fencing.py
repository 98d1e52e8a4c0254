"""The agent's side of the second line: skerry-fence runs before a lease opens, and hears of a grant before systemd.

Edge around `fence.records`. The fence is a comfort, not a condition: systemd ends leases with or without it, so where
it cannot run a grant is taken all the same, and the node says so. A grant that cannot be written down for it is another
matter: it would kill what is granted to live. Must never lower a deadline.
"""

from __future__ import annotations

from pathlib import Path

from ..disk.files import REAL, DiskError, Files, make_folder, remove, sweep, write_atomic
from ..fence import records
from ..systemd.port import Outcome, Systemd

SERVICE = "skerry-fence.service"
START_SECONDS = 10.0


class Fencing:
    """The records in `folder`, and the service that reads them."""

    def __init__(self, systemd: Systemd, folder: Path, files: Files = REAL) -> None:
        self._systemd, self._folder, self._files = systemd, folder, files

    def record(self, length_ms: int, deadline_ms: int) -> None:
        """Copies under a lease of this length may live until then. Raises DiskError: it must not be granted."""
        make_folder(self._folder, 0o700, self._files)
        write_atomic(self._folder / str(length_ms), records.text(deadline_ms), 0o600, self._files)

    async def awake(self) -> str | None:
        """Let the fence read its records; where it does not run it is started. None, or why there is none."""
        if records.wake(str(self._folder)):
            return None
        outcome: Outcome = await self._systemd.restart(SERVICE, START_SECONDS)
        if outcome.ok and records.wake(str(self._folder)):
            return None
        return outcome.reason or ("it does not listen" if outcome.ok else outcome.result.value)

    def forget(self, length_ms: int) -> None:
        """Nothing of this length runs here any more, nor will."""
        try:
            remove(self._folder / str(length_ms), self._files)
            sweep(self._folder, self._files)  # of a record that was never whole
        except DiskError:
            return  # one that stays kills nothing that is granted: a grant writes it anew
        records.wake(str(self._folder))

    def lengths(self) -> list[int]:
        """What it guards."""
        return sorted(records.read(str(self._folder)))

    async def rest(self) -> None:
        """Where it guards nothing, it ends."""
        if not self.lengths() and records.wake(str(self._folder)):
            await self._systemd.stop(SERVICE, START_SECONDS)
