"""Every message ever released must decode for ever, with nothing of it lost."""

from pathlib import Path
from typing import Any

import msgpack
import pytest

from skerry_protocol.codec import decode, encode
from tests.protocol.goldens import FOLDER, MESSAGES, add_missing, goldens

FILES = sorted(FOLDER.glob("*.msgpack"))


def within(old: Any, new: Any) -> bool:
    """Whether everything in `old` is in `new` too, which may have more keys."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(
            key in new and within(value, new[key]) for key, value in old.items()
        )
    if isinstance(old, list):
        return isinstance(new, list) and len(old) == len(new) and all(map(within, old, new))
    return bool(old == new)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_released_message_decodes(path: Path) -> None:
    data = path.read_bytes()
    message = decode(MESSAGES[path.stem.partition("-")[0]], data)
    assert within(msgpack.unpackb(data), msgpack.unpackb(encode(message)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_keys_that_nobody_knows_yet_are_passed_over(path: Path) -> None:
    kind = MESSAGES[path.stem.partition("-")[0]]
    plain = msgpack.unpackb(path.read_bytes())
    assert decode(kind, msgpack.packb(plain | {"from-the-future": [1]})) == decode(kind, path.read_bytes())


def test_every_message_and_field_has_a_golden(tmp_path: Path) -> None:
    missing = [path.name for path in add_missing(tmp_path)]
    assert missing == [], "run 'python -m tests.protocol.goldens' and add the files"


def test_every_message_has_a_file() -> None:
    assert {name for name in MESSAGES if not goldens(name)} == set()
