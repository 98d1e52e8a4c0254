"""Makes app files for tests: tables, sound and unsound, and their TOML in several styles."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from hypothesis import strategies as st

Table = dict[str, object]

NAMES = st.from_regex(r"[a-z](?:[a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
DURATIONS = st.sampled_from(["10s", "1m30s", "500ms", "2h", "1d", "1.5s", "60s", "3m"])
# Values for any place: few of them fit where they land.
JUNK: st.SearchStrategy[object] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        7,
        10**6,
        1.5,
        float("nan"),
        "",
        "x",
        "10s",
        "256M",
        "a\0b",
        [],
        ["x"],
        [1],
        {},
        {"in": ["a"]},
    ]
)

_ARTIFACTS = st.sampled_from(
    [
        "./web.tar",
        {"x86_64": "a.tar", "aarch64": {"sha256": "0" * 64, "size": 5}},
        {"sha256": "ab" * 32, "size": 1},
    ]
)
_HEALTH = st.one_of(
    st.fixed_dictionaries({"tcp": st.integers(1, 65535)}, optional={"every": st.sampled_from(["5s", "10s"])}),
    st.fixed_dictionaries(
        {"http": st.just("http://127.0.0.1:8080/healthz")}, optional={"failures": st.just(5)}
    ),
    st.fixed_dictionaries({"exec": st.just(["/bin/true"])}, optional={"grace": DURATIONS}),
)
_PLACE = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.dictionaries(
            st.sampled_from(["region", "disk"]),
            st.sampled_from(["ssd", ["a", "b"], {"in": ["x"]}]),
            max_size=2,
        ),
        "spread": st.just("site"),
        "nodes": st.lists(NAMES, max_size=3, unique=True),
    },
)
_RESOURCES = st.fixed_dictionaries(
    {},
    optional={
        "memory": st.sampled_from(["256M", "1.5G", 1 << 20, "16M"]),
        "cpu": st.sampled_from([0.5, 2, 0.001, 1.25]),
        "tasks": st.integers(1, 100),
        "cpu_weight": st.integers(1, 10_000),
        "io_weight": st.integers(1, 10_000),
    },
)
_VOLUMES = st.sampled_from(
    [{}, {"data": {"path": "/data", "empty_elsewhere": True}}, {"a": {"path": "/a", "empty_elsewhere": True}}]
)
_FIELDS: dict[str, st.SearchStrategy[object]] = {
    "artifact": _ARTIFACTS,
    "stop_timeout": DURATIONS.filter(lambda text: text not in {"2h", "1d"}),
    "place": _PLACE,
    "resources": _RESOURCES,
    "health": _HEALTH,
    "volumes": _VOLUMES,
    "files": st.dictionaries(
        st.sampled_from(["motd.txt", "conf/a", "conf/b"]),
        st.text(max_size=20).filter(lambda text: "\0" not in text),
        max_size=3,
    ),
    "env": st.dictionaries(
        st.sampled_from(["LANG", "A_1", "_x"]), st.sampled_from(["", "C.UTF-8", "ü\n\t"]), max_size=3
    ),
    "after": st.lists(st.sampled_from(["db", "cache"]), max_size=2, unique=True),
    "user": st.sampled_from(["www-data", "_x"]),
    "workdir": st.just("/srv/x"),
    "restart": st.sampled_from(["always", "on-failure", "no"]),
    "rollback": st.booleans(),
    "ports": st.sampled_from([{}, {"http": 8080, "dns": "53/udp"}, {"http": "8080/tcp", "dns": 53}]),
    "reaches": st.lists(st.sampled_from(["db", "x", "y"]), max_size=3, unique=True),
    "publish": st.sampled_from([{"http": 80}, {"http": 53, "dns": 54}]),
    "egress": st.booleans(),
    "sandbox": st.sampled_from([{}, {"allow": ["host-network", "device:/dev/ttyS0"]}]),
}


@st.composite
def sound_apps(draw: st.DrawFn) -> Table:
    """A table that the parser takes."""
    table: Table = {"run": draw(st.sampled_from([["/bin/x", "a b"], ["python3"]]))}
    table |= draw(st.fixed_dictionaries({}, optional=_FIELDS))
    if "publish" in table:
        table |= {"ports": {"http": 8080, "dns": "53/udp"}}
        if "place" in table:
            del table["place"]
    if "publish" in table or table.get("egress") is False:
        table.pop("sandbox", None)
    if draw(st.booleans()):
        ha: Table = {"lost_after": draw(st.sampled_from(["3m", "5m", "1h"]))}
        ha |= draw(
            st.fixed_dictionaries(
                {}, optional={"overlap": st.just("allow"), "on_return": st.sampled_from(["keep-original"])}
            )
        )
        table |= {"availability": "ha", "ha": ha}
    else:
        table["availability"] = "best-effort"
        table |= draw(
            st.sampled_from([{}, {"per_node": True}, {"replicas": 3}, {"per_node": False, "replicas": 0}])
        )
    if "health" not in table and draw(st.booleans()):
        table |= {"schedule": draw(st.sampled_from(["daily", "Mon..Fri 08:30", "*:0/15"]))}
        if table.get("restart") == "always":
            del table["restart"]
    return table


@st.composite
def any_apps(draw: st.DrawFn) -> Table:
    """A sound table with up to three things changed anywhere in it: mostly unsound."""
    table: Table = json.loads(json.dumps(draw(sound_apps())))
    for _ in range(draw(st.integers(0, 3))):
        _change(draw, table)
    return table


def _change(draw: st.DrawFn, table: Table) -> None:
    places = list(_places(table))
    holder, key = draw(st.sampled_from(places))
    what = draw(st.integers(0, 2))
    if what == 0:
        value = draw(JUNK)
        if value is not None:
            _set(holder, key, value)
    elif what == 1 and isinstance(holder, dict):
        del holder[str(key)]
    elif isinstance(holder, dict):
        holder[
            draw(st.sampled_from(["replica", "x y", "per_node", "replicas", "schedule", "size", "in"]))
        ] = draw(JUNK.filter(lambda value: value is not None))


def _set(holder: object, key: str | int, value: object) -> None:
    if isinstance(holder, dict):
        holder[key] = value
    elif isinstance(holder, list):
        holder[int(key)] = value


def _places(value: object) -> Iterator[tuple[object, str | int]]:
    """Every (table or list, key) in a document."""
    pairs: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    for key, inner in pairs:
        yield value, key
        yield from _places(inner)


def paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every key and every list item in a document."""
    pairs: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    for key, inner in pairs:
        yield (*path, key)
        yield from paths(inner, (*path, key))


def value_text(value: object) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key_text(key)} = {value_text(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[\n  " + ",  # note ]\n  ".join(map(value_text, value)) + "\n]" if value else "[ ]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "nan" if math.isnan(value) else repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)


def key_text(key: object) -> str:
    text = str(key)
    plain = text and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in text)
    return text if plain else json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@st.composite
def toml(draw: st.DrawFn, document: Table) -> str:
    """The document as TOML: headers, dotted keys and inline tables, with comments and blank lines between."""
    lines: list[str] = []
    _emit(draw, document, [], lines)
    return draw(st.sampled_from(["\n", "\r\n"])).join([*lines, ""])


def _emit(draw: st.DrawFn, table: Table, path: list[str], lines: list[str]) -> None:
    """Values first; then tables below headers of their own."""
    later = []
    for key, value in table.items():
        if isinstance(value, dict) and draw(st.booleans()):
            later.append((key, value))
        elif isinstance(value, dict) and value and draw(st.booleans()):
            lines += [
                f"{key_text(key)} . {key_text(inner)} = {value_text(one)}" for inner, one in value.items()
            ]
        else:
            lines.append(f'  {key_text(key)}={value_text(value)} # ]}} "')
        lines += draw(st.sampled_from([[], [""], ["# a comment = [", "\t"]]))
    for key, value in later:
        lines.append("[ " + ".".join(map(key_text, [*path, key])) + " ]")
        _emit(draw, value, [*path, key], lines)
