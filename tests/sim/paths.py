"""Paths that are made once: a seed asks for the same few hundred a hundred thousand times, and they never change.

A stand-in for what `pathlib` works out anew each time. Only for a process that runs simulations and nothing else.
"""

from __future__ import annotations

from pathlib import Path, PurePath

_MANY = 20_000  # then it begins again: the folders of former seeds are not asked for any more
_child, _with_name = PurePath.__truediv__, PurePath.with_name
_parent = PurePath.parent.fget  # type: ignore[attr-defined]
_children: dict[tuple[str, object], PurePath] = {}
_named: dict[tuple[str, str], PurePath] = {}
_parents: dict[str, PurePath] = {}


def _quick_child(self: PurePath, key: str) -> PurePath:
    known = (str(self), key)
    found = _children.get(known)
    if found is None or type(found) is not type(self):
        if len(_children) > _MANY:
            _children.clear()
        found = _children[known] = _child(self, key)
    return found


def _quick_name(self: PurePath, name: str) -> PurePath:
    known = (str(self), name)
    found = _named.get(known)
    if found is None or type(found) is not type(self):
        if len(_named) > _MANY:
            _named.clear()
        found = _named[known] = _with_name(self, name)
    return found


def _quick_parent(self: PurePath) -> PurePath:
    known = str(self)
    found = _parents.get(known)
    if found is None or type(found) is not type(self):
        if len(_parents) > _MANY:
            _parents.clear()
        found = _parents[known] = _parent(self)
    return found


def install() -> None:
    """From here on in this process."""
    for kind in (PurePath, Path):
        kind.__truediv__ = _quick_child  # type: ignore[method-assign,assignment]
        kind.with_name = _quick_name  # type: ignore[method-assign,assignment]
        kind.parent = property(_quick_parent)  # type: ignore[assignment]
