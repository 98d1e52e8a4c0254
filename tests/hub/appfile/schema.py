"""Judges a document by a JSON Schema: the keywords that ours uses, and a refusal of any other.

No library of the project's brings a validator; this one was held to a published one when it was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any] | bool

IGNORED = {"$schema", "title", "description", "then", "else"}
TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool)
        and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
}


def fits(schema: Schema, value: Any) -> bool:
    if isinstance(schema, bool):
        return schema
    unknown = set(schema) - IGNORED - set(KEYWORDS)
    assert not unknown, unknown
    return all(KEYWORDS[key](schema, value) for key in schema if key not in IGNORED)


def equal(one: Any, other: Any) -> bool:
    """JSON knows no boolean that is a number."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _properties(schema: dict[str, Any], value: Any) -> bool:
    return not isinstance(value, dict) or all(
        fits(inner, value[key]) for key, inner in schema["properties"].items() if key in value
    )


def _additional(schema: dict[str, Any], value: Any) -> bool:
    known = schema.get("properties", {})
    return not isinstance(value, dict) or all(
        fits(schema["additionalProperties"], one) for key, one in value.items() if key not in known
    )


def _if(schema: dict[str, Any], value: Any) -> bool:
    return fits(schema.get("then" if fits(schema["if"], value) else "else", True), value)


def _unique(schema: dict[str, Any], value: Any) -> bool:
    return not isinstance(value, list) or not any(
        equal(one, other) for at, one in enumerate(value) for other in value[:at]
    )


def _bound(kind: type, take: Callable[[Any], Any], right: Callable[[Any, Any], bool], key: str) -> Any:
    def check(schema: dict[str, Any], value: Any) -> bool:
        return not isinstance(value, kind) or isinstance(value, bool) or right(take(value), schema[key])

    return check


NUMBER: Any = (int, float)
KEYWORDS: dict[str, Callable[[dict[str, Any], Any], bool]] = {
    "type": lambda schema, value: TYPES[schema["type"]](value),
    "enum": lambda schema, value: any(equal(value, one) for one in schema["enum"]),
    "const": lambda schema, value: equal(value, schema["const"]),
    "properties": _properties,
    "additionalProperties": _additional,
    "propertyNames": lambda schema, value: (
        not isinstance(value, dict) or all(fits(schema["propertyNames"], key) for key in value)
    ),
    "required": lambda schema, value: not isinstance(value, dict) or set(schema["required"]) <= set(value),
    "items": lambda schema, value: (
        not isinstance(value, list) or all(fits(schema["items"], one) for one in value)
    ),
    "anyOf": lambda schema, value: any(fits(inner, value) for inner in schema["anyOf"]),
    "oneOf": lambda schema, value: sum(fits(inner, value) for inner in schema["oneOf"]) == 1,
    "allOf": lambda schema, value: all(fits(inner, value) for inner in schema["allOf"]),
    "if": _if,
    "uniqueItems": _unique,
    "pattern": _bound(str, lambda value: value, lambda value, form: bool(re.search(form, value)), "pattern"),
    "maxLength": _bound(str, len, lambda size, most: size <= most, "maxLength"),
    "minimum": _bound(NUMBER, lambda value: value, lambda value, least: value >= least, "minimum"),
    "maximum": _bound(NUMBER, lambda value: value, lambda value, most: value <= most, "maximum"),
    "minItems": _bound(list, len, lambda size, least: size >= least, "minItems"),
    "maxItems": _bound(list, len, lambda size, most: size <= most, "maxItems"),
    "minProperties": _bound(dict, len, lambda size, least: size >= least, "minProperties"),
    "maxProperties": _bound(dict, len, lambda size, most: size <= most, "maxProperties"),
}
