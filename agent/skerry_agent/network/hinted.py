"""The agent's end of what a hub tells of others (`Hint`), and of what it is told of this node's ways (`Ways`).

Owns the file `hint`, which is written where the hub has another one, and knows what this hub was told: it is said again
on a new connection, and to a hub with another term, which may have begun anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from skerry_protocol.messages import BeatReply, Hint

from ..disk import sealed
from ..disk.files import DiskError, Files, make_folder
from ..disk.sealed import Twice
from .records import HINT


class Ways(NamedTuple):
    """Where this node's direct tunnels end in its own network, and how much its way to the hub takes: see `Beat`."""

    lan: tuple[str, ...] = ()
    narrow: int = 0


class Beside(NamedTuple):
    """What a beat says beside the rest: `Beat.hint`; `ways` where they are to be said."""

    hint: bytes = b""
    ways: Ways | None = None


class Hinted:
    """See the module."""

    def __init__(self, state: Path, files: Files) -> None:
        self._path, self._files = state / HINT, files
        self._digest: bytes | None = None
        self._said = Ways()
        self._saying = Ways()
        self._term = 0

    def connected(self) -> None:
        """To a hub that was told nothing yet."""
        self._said = Ways()

    def sending(self, ways: Ways) -> Beside:
        """A beat is sent now. `ways`: as skerry-net says."""
        self._saying = ways
        return Beside(self._held(), None if ways == self._said else ways)

    def is_new(self, ways: Ways) -> bool:
        """Whether no beat has said so yet; what is under way counts as said."""
        return ways != self._saying

    def answered(self, reply: BeatReply) -> None:
        """The hub answered it. What cannot be written comes again with the next answer."""
        told = self._saying if self._saying != self._said or reply.term == self._term else Ways()
        self._said, self._term = told, reply.term
        if reply.hint is not None and reply.hint.digest != self._held():
            try:
                make_folder(self._path.parent, files=self._files)
                sealed.write_twice(self._path, sealed.bytes_of(reply.hint), self._files)
            except DiskError:
                return
            self._digest = reply.hint.digest

    def _held(self) -> bytes:
        """The digest of what is on disk."""
        if self._digest is None:
            found = sealed.read_twice(self._path)
            hint = sealed.message(Hint, found.data, HINT) if isinstance(found, Twice) else None
            self._digest = hint.digest if isinstance(hint, Hint) else b""
        return self._digest
