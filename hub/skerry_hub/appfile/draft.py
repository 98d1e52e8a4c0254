"""An app that was read from a table, with what the rules between fields must know about how it was written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from skerry_protocol.app import App, Artifact
from skerry_protocol.ids import AppName
from skerry_protocol.network import AppNetwork

from .app_fields import APP
from .faults import Finding, Path, Say

_MAKE_APP: Callable[..., App] = App
_MAKE_NETWORK: Callable[..., AppNetwork] = AppNetwork


@dataclass(frozen=True)
class Draft:
    """`paths`: archives still to be pushed, by architecture. `given`: the keys that were there.

    `bad`: those with a fault, for which `app` holds a blank or the default.
    """

    app: App
    paths: dict[str, str] = field(default_factory=dict)
    given: frozenset[str] = frozenset()
    bad: frozenset[str] = frozenset()

    @property
    def has_artifact(self) -> bool:
        return bool(self.paths or self.app.artifacts)


def read_draft(name: str, value: object, path: Path, say: Say) -> Draft | None:
    """One app's table; None if it is none. Says what is wrong with single fields."""
    bad: set[str] = set()

    def noting(finding: Finding) -> None:
        if len(finding.path) > len(path):
            bad.add(str(finding.path[len(path)]))
        say(finding)

    values = APP.read(value, path, noting)
    if values is None:
        return None
    given = frozenset(map(str, value)) if isinstance(value, dict) else frozenset()
    paths, artifacts = _split(values.pop("artifact", None))
    said = {key: values.pop(key) for key in AppNetwork.__struct_fields__ if key in values}
    app = _MAKE_APP(name=AppName(name), artifacts=artifacts, network=_MAKE_NETWORK(**said), **values)
    return Draft(app, paths, given, frozenset(bad))


def _split(value: object) -> tuple[dict[str, str], dict[str, Artifact]]:
    found = value.items() if isinstance(value, dict) else ()
    paths, artifacts = {}, {}
    for arch, one in found:
        if isinstance(one, Artifact):
            artifacts[str(arch)] = one
        else:
            paths[str(arch)] = str(one)
    return paths, artifacts
