"""Makes a golden file for each message that has none yet: `python -m tests.protocol.goldens`.

A message that got new fields since its newest golden gets another one beside it. No file is ever changed or removed:
they are what was once released.
"""

import sys
import types
import typing
from enum import Enum
from pathlib import Path

import msgpack
import msgspec

from skerry_protocol import app, lease, messages, network, signed, signing
from skerry_protocol.codec import encode

FOLDER = Path(__file__).parent.parent / "golden"
MESSAGES = {
    name: kind
    for module in (app, lease, messages, network, signed, signing)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
}


def sample(kind: typing.Any) -> typing.Any:
    """A value of a type with everything set that can be set."""
    if isinstance(kind, typing.NewType):
        return sample(kind.__supertype__)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _within(sample(inner[0]), inner[1])
    if origin in {typing.Union, types.UnionType}:
        return sample(next(one for one in inner if one is not type(None)))
    if origin is tuple:
        return (sample(inner[0]),)
    if origin is dict:
        return {sample(inner[0]): sample(inner[1])}
    if issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind, include_extras=True)
        return kind(**{name: sample(hints[name]) for name in kind.__struct_fields__})
    if issubclass(kind, Enum):
        return list(kind)[-1]
    return {int: 7, str: "text", bytes: b"\x00\xff", bool: True}[kind]


def _within(value: typing.Any, bounds: msgspec.Meta) -> typing.Any:
    """The value at the length that is asked for; a number is within all bounds there are."""
    return value.ljust(bounds.min_length or 0, b"\xff") if isinstance(value, bytes) else value


def goldens(name: str) -> list[Path]:
    """The golden files of a message, oldest first."""
    numbered = sorted(FOLDER.glob(f"{name}-*.msgpack"), key=lambda path: int(path.stem.rpartition("-")[2]))
    return [path for path in (FOLDER / f"{name}.msgpack", *numbered) if path.exists()]


def keys(value: typing.Any, path: str = "") -> set[str]:
    """Every key at every depth."""
    if isinstance(value, dict):
        return {path + "." + str(key) for key in value}.union(
            *(keys(one, f"{path}.{key}") for key, one in value.items())
        )
    if isinstance(value, list):
        return set().union(*(keys(one, path + "[]") for one in value))
    return set()


def add_missing(folder: Path) -> list[Path]:
    """Writes what is missing in `folder`, and says which files that were."""
    added = []
    for name, kind in MESSAGES.items():
        data = encode(sample(kind))
        known = goldens(name)
        if known and keys(msgpack.unpackb(data)) <= keys(msgpack.unpackb(known[-1].read_bytes())):
            continue
        path = folder / (f"{name}-{len(known) + 1}.msgpack" if known else f"{name}.msgpack")
        with path.open("xb") as file:
            file.write(data)
        added.append(path)
    return added


if __name__ == "__main__":
    sys.stdout.writelines(f"added {path}\n" for path in add_missing(FOLDER))
