"""Every file and link that makes up what a node was rendered to run, so that boot can put back what is missing. Pure.

Owns where the pieces of a `Rendered` instance lie. Must never hold what the agent does not own: removing a manifest's
pieces removes nothing of an admin's.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from .leaseunits import shared
from .render import Paths, Rendered


class File(Struct, frozen=True):
    """A file's absolute path, mode and content."""

    path: str
    mode: int
    data: bytes


class Link(Struct, frozen=True):
    """A symbolic link's absolute path and what it says."""

    path: str
    target: str


class Manifest(Struct, frozen=True):
    """All of it, in the order in which it is written: content, units, links to content, links that enable.

    `starts`: units that are to run once everything is there and that need no lease.
    """

    files: tuple[File, ...] = ()
    links: tuple[Link, ...] = ()
    starts: tuple[str, ...] = ()

    def paths(self) -> frozenset[str]:
        """Every path in it."""
        return frozenset([file.path for file in self.files] + [link.path for link in self.links])


def pieces(instance: str, rendered: Rendered, paths: Paths) -> Manifest:
    """The files and links of one instance (`instance` is its id)."""
    home = f"{paths.instances}/{instance}"
    tree = f"{home}/{rendered.tree_name}"
    content = [File(f"{tree}/{name}", item.mode, item.data) for name, item in sorted(rendered.tree.items())]
    units = [
        File(f"{paths.units}/{name}", 0o644, body.encode()) for name, body in sorted(rendered.units.items())
    ]
    links = [Link(f"{home}/current", rendered.tree_name)]
    if rendered.artifact is not None:
        links.insert(0, Link(f"{tree}/artifact", f"{paths.artifacts}/{rendered.artifact}"))
    links.append(Link(f"{paths.units}/{rendered.wanted_by}.wants/{rendered.starts}", f"../{rendered.starts}"))
    starts = () if rendered.lease is not None else (rendered.starts,)
    return Manifest(tuple(content + units + _lease(rendered, paths)), tuple(links), starts)


def _lease(rendered: Rendered, paths: Paths) -> list[File]:
    if rendered.lease is None:
        return []
    texts = shared(rendered.lease.length_ms)
    return [File(f"{paths.units}/{name}", 0o644, body.encode()) for name, body in sorted(texts.items())]


def joined(manifests: Iterable[Manifest]) -> Manifest:
    """Several as one; a piece that is in more than one (a lease's targets) is there once."""
    files: dict[str, File] = {}
    links: dict[str, Link] = {}
    starts: dict[str, None] = {}
    for manifest in manifests:
        files |= {file.path: file for file in manifest.files}
        links |= {link.path: link for link in manifest.links}
        starts |= dict.fromkeys(manifest.starts)
    return Manifest(tuple(files.values()), tuple(links.values()), tuple(starts))
