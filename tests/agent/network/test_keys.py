from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.network.keys import FIRST_PORT, port_of, private_keys, public_key
from skerry_netplan.state import KeyRole

FILES = ("link.key", "link.key.twin", "direct.key", "direct.key.twin")


def test_keys_are_made_once_and_are_for_root_alone(tmp_path: Path) -> None:
    made = private_keys(tmp_path)
    assert made[KeyRole.LINK] != made[KeyRole.DIRECT]
    assert private_keys(tmp_path) == made
    assert {path.name for path in (tmp_path / "identity").iterdir()} == set(FILES)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "identity").iterdir()} == {0o600}


@pytest.mark.parametrize("rubbish", [b"", b"short", bytes(32), None])
@pytest.mark.parametrize("name", FILES)
def test_either_of_two_files_will_do(tmp_path: Path, name: str, rubbish: bytes | None) -> None:
    made = private_keys(tmp_path)
    path = tmp_path / "identity" / name
    path.unlink() if rubbish is None else path.write_bytes(rubbish)
    assert private_keys(tmp_path) == made


def test_a_key_that_is_lost_is_made_anew_and_leaves_the_other(tmp_path: Path) -> None:
    made = private_keys(tmp_path)
    for name in FILES[:2]:
        (tmp_path / "identity" / name).unlink()
    again = private_keys(tmp_path)
    assert again[KeyRole.LINK] != made[KeyRole.LINK]
    assert again[KeyRole.DIRECT] == made[KeyRole.DIRECT]


@given(st.binary(min_size=32, max_size=32))
def test_every_key_has_a_port_that_stays(private: bytes) -> None:
    public = public_key(private)
    assert len(public) == 32
    assert FIRST_PORT <= port_of(public) <= 65535
    assert port_of(public) == port_of(public_key(private))
