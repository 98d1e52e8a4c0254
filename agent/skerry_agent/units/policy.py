"""The machine's own word on what apps may do here: the text of /etc/skerry/policy.toml as a Policy. Pure.

Owns what is permitted; the words themselves are skerry_protocol.sandbox. The hub cannot write that file. One that
cannot be read permits nothing new, and what runs goes on running. Must never guess: an unknown key is a fault.

    metered = true                    # the machine's link costs by the byte
    allow = ["host-network"]          # for every app
    [app.web]
    allow = ["device:/dev/ttyS0"]     # for one
    [resources]                       # the most that one instance may have; then it has to say how much it takes
    memory = "512M"
    cpu = 2
    tasks = 100
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct, field

from skerry_protocol.app import App
from skerry_protocol.ids import is_name
from skerry_protocol.sandbox import BadWord, Word, parse, permits

WHERE = "/etc/skerry/policy.toml"
TEXT_MAX = 1 << 20
SIZE = re.compile(r"([0-9]{1,9})([KMGT]?)")
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Policy(Struct, frozen=True, omit_defaults=True):
    """What this machine permits. The default permits nothing and limits nothing.

    `metered`: its link costs by the byte, so nothing is sent to keep a way open.
    """

    allow: tuple[str, ...] = ()
    apps: dict[str, tuple[str, ...]] = field(default_factory=dict)
    memory_bytes: int | None = None
    cpu_milli: int | None = None
    tasks: int | None = None
    metered: bool = False


class Faults(Struct, frozen=True):
    """All that is wrong with the file, each a sentence for the machine's admin."""

    texts: tuple[str, ...]


def read(text: str) -> Policy | Faults:
    """The policy in `text`, or everything that is wrong with it."""
    if len(text) > TEXT_MAX:
        return Faults((f"{WHERE} has {len(text)} characters, at most {TEXT_MAX} are read",))
    import tomllib  # noqa: PLC0415 - most machines have no policy of their own

    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return Faults((f"{WHERE} is not TOML: {error}",))
    faults = list(_faults(table))
    return Faults(tuple(faults)) if faults else _policy(table)


def refusals(policy: Policy, app: App, words: tuple[Word, ...]) -> tuple[str, ...]:
    """Why this machine does not permit `app`, each with the line that would; empty where it does."""
    permitted = policy.allow + policy.apps.get(app.name, ())
    texts = [
        f'this node does not permit {word} (add allow = ["{word}"] under [app.{app.name}] in {WHERE})'
        for word in words
        if not permits(permitted, word)
    ]
    asked = app.resources
    caps = (
        ("memory", asked.memory_bytes, policy.memory_bytes, "bytes"),
        ("cpu", asked.cpu_milli, policy.cpu_milli, "thousandths of a core"),
        ("tasks", asked.tasks, policy.tasks, "tasks"),
    )
    for name, value, cap, unit in caps:
        if cap is not None and (value is None or value > cap):
            has = "no limit is set" if value is None else f"{value} is asked for"
            text = f"this node permits at most {cap} {unit} of {name}, {has}"
            texts.append(f"{text} (lower it in the app, or raise {name} under [resources] in {WHERE})")
    return tuple(texts)


def _faults(table: dict[str, object]) -> Iterator[str]:
    yield from _unknown(table, {"allow", "app", "metered", "resources"}, "")
    yield from _words(table.get("allow", []), "allow")
    if not isinstance(metered := table.get("metered", False), bool):
        yield f"metered is {metered!r}: expected true or false"
    apps = table.get("app", {})
    if not isinstance(apps, dict):
        yield "app is not a table: write [app.NAME]"
        apps = {}
    for name, entry in apps.items():
        if not is_name(name) or not isinstance(entry, dict):
            yield f"app.{name} is not the table of an app: write [app.NAME]"
        else:
            yield from _unknown(entry, {"allow"}, f"app.{name}.")
            yield from _words(entry.get("allow", []), f"app.{name}.allow")
    yield from _resources(table.get("resources", {}))


def _resources(found: object) -> Iterator[str]:
    if not isinstance(found, dict):
        yield "resources is not a table: write [resources]"
        return
    yield from _unknown(found, {"memory", "cpu", "tasks"}, "resources.")
    if "memory" in found and _size(found["memory"]) is None:
        yield f'resources.memory is {found["memory"]!r}: expected a size such as "512M"'
    cpu, tasks = found.get("cpu", 1), found.get("tasks", 1)
    if isinstance(cpu, bool) or not isinstance(cpu, int | float) or not 0 < cpu <= 4096:
        yield f"resources.cpu is {cpu!r}: expected a number of cores such as 1.5"
    if isinstance(tasks, bool) or not isinstance(tasks, int) or tasks < 1:
        yield f"resources.tasks is {tasks!r}: expected a count"


def _unknown(table: dict[str, object], known: set[str], prefix: str) -> Iterator[str]:
    for key in table:
        if key not in known:
            yield f"{prefix}{key} is not known here: expected {', '.join(sorted(known))}"


def _words(found: object, where: str) -> Iterator[str]:
    if not isinstance(found, list):
        yield f'{where} is not a list: write {where.rpartition(".")[2]} = ["host-network"]'
        return
    for text in found:
        word = _word(text)
        if isinstance(word, BadWord):
            yield f"{where} has {word.text!r}: expected {word.expected}"


def _word(text: object) -> Word | BadWord | None:
    """A policy also takes a kind without a value, or with *, for every value of it."""
    if not isinstance(text, str):
        return BadWord(str(text), "text")
    name, _, value = text.partition(":")
    samples = {
        "host-path": "/a",
        "host-path-write": "/a",
        "device": "/dev/a",
        "capability": "CAP_KILL",
        "user": "a",
    }
    if name in samples and value in {"", "*"}:
        return parse(f"{name}:{samples[name]}")
    return parse(text)


def _size(found: object) -> int | None:
    if isinstance(found, int) and not isinstance(found, bool):
        return found if found > 0 else None
    match = SIZE.fullmatch(found) if isinstance(found, str) else None
    return int(match[1]) * UNITS[match[2]] or None if match else None


def _policy(table: dict[str, object]) -> Policy:
    apps, caps = table.get("app", {}), table.get("resources", {})
    assert isinstance(apps, dict)
    assert isinstance(caps, dict)
    return Policy(
        _tuple(table.get("allow", [])),
        {name: _tuple(entry.get("allow", [])) for name, entry in apps.items()},
        _size(caps.get("memory")),
        round(caps["cpu"] * 1000) if "cpu" in caps else None,
        caps.get("tasks"),
        table.get("metered") is True,
    )


def _tuple(found: object) -> tuple[str, ...]:
    assert isinstance(found, list)
    return tuple(found)
