"""The files of instances on disk: unit files, the links that enable them, and folders of content.

Owns one small function per action of a plan, and `seen`, which reads back what the planner wants to know. Every change
is all or nothing and on disk when the call returns; each may be repeated. Must never touch a file whose name does not
begin with `skerry-`, nor an admin's drop-ins.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct, field

from skerry_protocol.ids import InstanceId

from ..disk.files import (
    REAL,
    TEMPORARY,
    Files,
    explained,
    link_atomic,
    make_folder,
    remove,
    remove_folder,
    sweep,
    write_atomic,
)
from ..switch.target import Running
from .leaseunits import length_of
from .render import Content, Paths

PREFIX = "skerry-"
SUFFIXES = (".service", ".timer", ".socket", ".target")
# Where systemd keeps what SetUnitProperties set, until the machine goes down.
CONTROL = Path("/run/systemd/system.control")


class Seen(Struct, frozen=True):
    """What is on disk, in the planner's words (see plan.Observed)."""

    files: dict[str, str] = field(default_factory=dict)
    links: frozenset[tuple[str, str]] = frozenset()
    trees: frozenset[tuple[InstanceId, str]] = frozenset()
    current: dict[InstanceId, str] = field(default_factory=dict)


class UnitFiles:
    """The folders of `paths`. Whatever writes raises DiskError, with nothing half done."""

    def __init__(self, paths: Paths, files: Files = REAL, control: Path = CONTROL) -> None:
        self._units, self._instances = Path(paths.units), Path(paths.instances)
        self._artifacts = Path(paths.artifacts)
        self._files, self._control = files, control

    def sweep(self) -> None:
        """Clear away what crashes left half made: nobody else may come to the same names again."""
        sweep(self._units, self._files, PREFIX)
        for folder in (*self._wants(), *_folders(self._instances)):
            sweep(folder, self._files)

    def write_unit(self, name: str, text: str) -> None:
        """Put a unit file."""
        write_atomic(self._units / _own(name), text.encode(), 0o644, self._files)

    def remove_unit(self, name: str) -> None:
        """Remove a unit file; it may be gone already."""
        remove(self._units / _own(name), self._files)

    def enable(self, unit: str, target: str) -> None:
        """Make the target want the unit."""
        folder = self._units / f"{_plain(target)}.wants"
        make_folder(folder, 0o755, self._files)
        link_atomic(folder / _own(unit), f"../{unit}", self._files)

    def disable(self, unit: str, target: str) -> None:
        """The target wants it no more."""
        remove(self._units / f"{_plain(target)}.wants" / _own(unit), self._files)

    def end_fenced_links(self) -> None:
        """No lease starts anything any more."""
        for target, unit in sorted(self._links()):
            if length_of(target) is not None:
                self.disable(unit, target)

    def remove_everywhere(self, unit: str) -> None:
        """Nothing wants the unit, and its file is gone."""
        for target, name in sorted(self._links()):
            if name == unit:
                self.disable(unit, target)
        self.remove_unit(unit)

    def write_tree(
        self, instance: InstanceId, name: str, tree: Mapping[str, Content], artifact: str | None
    ) -> None:
        """Write a content folder under another name, then give it its own: it is never there in part."""
        home = self._instances / _plain(instance)
        make_folder(home, 0o700, self._files)
        draft = home / f"{TEMPORARY}new-{_plain(name)}"
        remove_folder(draft, self._files)
        make_folder(draft, 0o755, self._files)
        for path, content in sorted(tree.items()):
            place = draft.joinpath(*(_plain(part) for part in path.split("/")))
            make_folder(place.parent, 0o755, self._files)
            write_atomic(place, content.data, content.mode, self._files)
        if artifact is not None:
            link_atomic(draft / "artifact", str(self._artifacts / _plain(artifact)), self._files)
        remove_folder(home / name, self._files)  # there only where it is damaged: names are digests
        self._rename(draft, home / name)

    def switch_tree(self, instance: InstanceId, name: str) -> None:
        """Let the instance's `current` lead to this content folder."""
        link_atomic(self._instances / _plain(instance) / "current", _plain(name), self._files)

    def prune_trees(self, instance: InstanceId, keep: Iterable[str]) -> None:
        """Remove the instance's content folders but these, and but the one that `current` leads to.

        A process that runs has mounts of its own of what it was started with.
        """
        home = self._instances / _plain(instance)
        kept = {*keep, _link(home / "current")}
        for path in _folders(home):
            if path.name not in kept:
                remove_folder(path, self._files)

    def remove_instance(self, instance: InstanceId) -> None:
        """Remove an instance's content folders. Its volumes lie elsewhere."""
        remove_folder(self._instances / _plain(instance), self._files)

    def drop_properties(self, unit: str) -> None:
        """Remove the drop-ins that SetUnitProperties left: the running unit has the values, its file says the same."""
        for path in sorted((self._control / f"{_own(unit)}.d").glob("50-*.conf")):
            remove(path, self._files)

    def seen(self, expected: Iterable[Running] = ()) -> Seen:
        """What is there, of content what is `expected`: a folder counts only if it is whole. Never raises."""
        trees, current = set(), {}
        for one in expected:
            name, home = one.instance.id, self._instances / one.instance.id
            if tree := _link(home / "current"):
                current[name] = tree
            if self._is_whole(home / one.rendered.tree_name, one):
                trees.add((name, one.rendered.tree_name))
        return Seen(self._texts(), self._links(), frozenset(trees), current)

    def _is_whole(self, folder: Path, one: Running) -> bool:
        if not folder.is_dir() or folder.is_symlink():
            return False
        artifact = one.rendered.artifact
        if _link(folder / "artifact") != ("" if artifact is None else str(self._artifacts / artifact)):
            return False
        return all(_same(folder / path, content) for path, content in one.rendered.tree.items())

    def _texts(self) -> dict[str, str]:
        return {
            entry.name: _text(entry.path)
            for entry in _entries(self._units)
            if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIXES) and entry.is_file()
        }

    def _links(self) -> frozenset[tuple[str, str]]:
        return frozenset(
            (folder.name.removesuffix(".wants"), link.name)
            for folder in _entries(self._units)
            if folder.name.startswith("skerry") and folder.name.endswith(".target.wants")
            for link in _entries(folder.path)
            if link.name.startswith(PREFIX) and _link(link.path) == f"../{link.name}"
        )

    def _wants(self) -> list[Path]:
        found = _listed(self._units)
        return [
            path for path in found if path.name.startswith("skerry") and path.name.endswith(".target.wants")
        ]

    def _rename(self, old: Path, new: Path) -> None:
        try:
            self._files.rename(old, new)
            self._files.sync(new.parent)
        except OSError as error:
            raise explained(f"cannot put {new} in place", error) from error


def _own(name: str) -> str:
    if not name.startswith(PREFIX):
        raise ValueError(f"{name!r} is not a unit of Skerry's own")
    return _plain(name)


def _plain(name: str) -> str:
    if "/" in name or name in {"", ".", ".."} or "\0" in name:
        raise ValueError(f"{name!r} cannot name a file")
    return name


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _folders(folder: Path) -> list[Path]:
    return [
        path
        for path in _listed(folder)
        if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
    ]


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """For what is done for every unit at every change: a path object for each would take most of the time."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _link(path: Path | str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - see _entries
    except OSError:
        return ""


def _text(path: str) -> str:
    """What cannot be read differs from every text that was ever rendered."""
    try:
        with open(path, encoding="utf-8", newline="") as file:  # noqa: PTH123 - see _entries
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""


def _same(path: Path, content: Content) -> bool:
    try:
        return path.read_bytes() == content.data and path.stat().st_mode & 0o7777 == content.mode
    except OSError:
        return False
