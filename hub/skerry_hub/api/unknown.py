"""Names in a JSON body that no field has: a misspelt field must not pass for one that was left out.

What nodes and hubs say to each other may grow, so its types take what they do not know. What an operator asks for must
be understood whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from msgspec import Struct, inspect


def unknown(path: str, given: object, kind: type[Struct]) -> Iterator[str]:
    """The path of every name in `given`, decoded from JSON without a type, that `kind` has no field for."""
    yield from _walk(path, given, _shape(kind))


@cache
def _shape(kind: type[Struct]) -> inspect.Type:
    return inspect.type_info(kind)


def _walk(path: str, given: object, shape: inspect.Type) -> Iterator[str]:
    if isinstance(shape, inspect.UnionType):
        for one in shape.types:
            yield from _walk(path, given, one)  # a field has at most one type that holds others
    elif isinstance(shape, inspect.StructType) and isinstance(given, dict):
        fields = {field.encode_name: field.type for field in shape.fields}
        for name, value in given.items():
            if name in fields:
                yield from _walk(f"{path}.{name}", value, fields[name])
            else:
                yield f"{path}.{name}"
    elif isinstance(shape, inspect.DictType) and isinstance(given, dict):
        for name, value in given.items():
            yield from _walk(f"{path}.{name}", value, shape.value_type)
    elif isinstance(shape, (inspect.ListType, inspect.VarTupleType)) and isinstance(given, list):
        for number, value in enumerate(given):
            yield from _walk(f"{path}[{number}]", value, shape.item_type)
