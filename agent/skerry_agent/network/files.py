"""The files of skerry-net (`records`), read and written. What is damaged is said, and used as if it were not there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from skerry_protocol.messages import Hint

from ..disk import sealed
from ..disk.files import DiskError, make_folder
from ..disk.sealed import Damaged, Twice
from .records import FOUND as FOUND_RECORD
from .records import HINT, KEPT, REACHED, STATUS, WANTED, Found, Kept, Plan, Reached, Status

T = TypeVar("T", bound=Struct)


@dataclass(frozen=True)
class Places:
    """Where its files are."""

    state: Path
    run: Path


class Files:
    """`troubles`: what could not be read, since they were last cleared."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.troubles: list[str] = []

    def wanted(self) -> Plan | None:
        """The newest plan that the agent accepted."""
        return self._read(WANTED, Plan)

    def kept(self) -> Kept:
        """Where the node stands with its plans."""
        return self._read(KEPT, Kept) or Kept()

    def found(self) -> Found:
        """What skerry-net found out."""
        return self._read(FOUND_RECORD, Found) or Found()

    def hint(self) -> Hint:
        """What the hub said last of others."""
        return self._read(HINT, Hint) or Hint()

    def reached(self) -> Reached | None:
        """When the agent's hub answered last. None where that is not known."""
        record = sealed.message(Reached, sealed.read(self._places.run / REACHED), REACHED)
        return record if isinstance(record, Reached) else None

    def keep(self, kept: Kept) -> None:
        """Raises DiskError."""
        self._write(KEPT, kept)

    def note(self, found: Found) -> None:
        """Nothing is lost where that cannot be written."""
        try:
            self._write(FOUND_RECORD, found)
        except DiskError as error:
            self.troubles.append(str(error))

    def say(self, status: Status) -> None:
        """For the agent, who sees where nothing new is said."""
        path = self._places.run / STATUS
        data = sealed.bytes_of(status)
        try:
            if sealed.read(path) != data:
                make_folder(path.parent)
                sealed.write(path, data)
        except DiskError:
            return

    def _read(self, name: str, kind: type[T]) -> T | None:
        path = self._places.state / name
        found = sealed.read_twice(path)
        record = sealed.message(kind, found.data, name) if isinstance(found, Twice) else found
        if isinstance(record, Damaged):
            self.troubles.append(f"cannot use {path}: {record.text}")
            return None
        return record

    def _write(self, name: str, record: Struct) -> None:
        path = self._places.state / name
        make_folder(path.parent)
        sealed.write_twice(path, sealed.bytes_of(record))
