"""Joining: what a person sees for each thing that can be wrong, and what is kept when nothing is."""

import errno
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.joining import join as joining
from skerry_agent.joining.identity import Identity, IdentityError, load, machine_key, read_key
from skerry_agent.joining.join import JoinError, join
from skerry_agent.joining.machine import Machine
from skerry_agent.network.keys import public_keys
from skerry_agent.network.records import Plan
from skerry_agent.network.telling import told, write_wanted
from skerry_protocol.ids import NodeName, node_id
from skerry_protocol.messages import JoinRequest
from skerry_protocol.signing import JOIN, Signed, join_words, new_key, public_key, verify
from tests.agent.builders import a_network, an_app, an_instance
from tests.agent.hubstandin import Answer, hub, refusal

MACHINE = Machine("box", "x86_64", 1 << 30, 2000)


def try_join(token: str, state: Path) -> Identity:
    return join(token, state, machine=MACHINE)


def test_a_machine_joins_and_keeps_who_it_is(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with hub(tmp_path) as stand_in:
        found = join(stand_in.token(), state, "coast", {"disk": "ssd"}, machine=MACHINE)
    (asked,) = stand_in.asked
    key = machine_key(state)
    assert asked.machine_key == public_key(key)
    verify(
        public_key(key), JOIN, Signed(join_words(asked.token, asked.secret, asked.machine_key), asked.proof)
    )
    assert (asked.name, asked.labels, asked.hostname, asked.cpu_milli) == (
        "coast",
        {"disk": "ssd"},
        "box",
        2000,
    )
    assert found.node == node_id(public_key(key))
    assert found.word.tls_key == stand_in.tls_key
    assert load(state) == found
    assert {path.name: path.stat().st_mode & 0o777 for path in (state / "identity").iterdir()} == {
        f"{name}{twin}": 0o600
        for name in ("machine.key", "identity.json", "link.key", "direct.key")
        for twin in ("", ".twin")
    }  # fmt: skip
    assert (state / "identity").stat().st_mode & 0o777 == 0o700


def test_joining_again_asks_with_the_same_key(tmp_path: Path) -> None:
    with hub(tmp_path) as stand_in:
        first = try_join(stand_in.token(), tmp_path / "state")
        assert try_join(stand_in.token(), tmp_path / "state") == first
    once, again = stand_in.asked
    assert once.machine_key == again.machine_key
    assert (
        (once.link_key, once.direct_key)
        == (again.link_key, again.direct_key)
        == public_keys(tmp_path / "state")
    )
    assert None not in {once.link_key, once.direct_key}


def test_a_forgotten_machine_gets_a_new_key(tmp_path: Path) -> None:
    with hub(tmp_path) as stand_in:
        first = try_join(stand_in.token(), tmp_path / "state")

        def forgotten(request: JoinRequest) -> Answer:
            if node_id(request.machine_key) == first.node:
                return refusal(410, "cannot join: this machine was forgotten")
            return stand_in.joined(request)

        stand_in.respond = forgotten
        assert try_join(stand_in.token(), tmp_path / "state").node != first.node
    former, _, latter = stand_in.asked
    assert not {former.link_key, former.direct_key} & {latter.link_key, latter.direct_key}, (
        "a copy may have them"
    )


def test_the_way_to_the_hub_is_kept_and_takes_no_namespace_from_what_runs(tmp_path: Path) -> None:
    state, web = tmp_path / "state", an_instance(an_app())
    with hub(tmp_path) as stand_in:
        stand_in.network = a_network()
        try_join(stand_in.token(), state)
        assert told(state) == Plan(a_network(), NodeName("box"))
        write_wanted(state, Plan(a_network(web), NodeName("box"), {web.id: web.app}))
        stand_in.network = a_network(endpoint="192.0.2.9:1")
        try_join(stand_in.token(), state)
    assert told(state) == Plan(a_network(web, endpoint="192.0.2.9:1"), NodeName("box"), {web.id: web.app})


def test_a_hub_without_a_network_gives_none(tmp_path: Path) -> None:
    with hub(tmp_path) as stand_in:
        try_join(stand_in.token(), tmp_path / "state")
    assert told(tmp_path / "state") is None


def test_a_certificate_of_any_date_does(tmp_path: Path) -> None:
    """A machine whose clock is years off sees exactly this."""
    for number, days in enumerate([(-9000, -8000), (8000, 9000)]):
        with hub(tmp_path, days=days) as stand_in:
            assert try_join(stand_in.token(), tmp_path / f"state{number}").name == "box"


def test_waiting_for_approval_asks_again(tmp_path: Path) -> None:
    said: list[str] = []
    pauses: list[float] = []
    with hub(tmp_path) as stand_in:
        stand_in.respond = lambda asked: stand_in.joined(asked, "waiting" if len(pauses) < 3 else "joined")
        found = join(stand_in.token(), tmp_path / "s", machine=MACHINE, say=said.append, pause=pauses.append)
    assert found.credentials == "a.b.c"
    assert pauses == [joining.POLL_S] * 3
    assert said == ["box waits for approval on the hub (an operator has to let it in)"]


REFUSED = {
    403: "cannot join: the token expired on 2026-05-02 (create another with 'skerry token create')",
    404: "cannot join: the hub knows no such token (create another)",
    409: "cannot join: the token was used on 2026-05-02 by node n7 (create another)",
    429: "cannot join: too many tries (wait a minute)",
}


@pytest.mark.parametrize("status", list(REFUSED))
def test_the_hubs_own_words_are_shown(tmp_path: Path, status: int) -> None:
    with hub(tmp_path) as stand_in:
        error, _, then = REFUSED[status].removesuffix(")").partition(" (")
        stand_in.respond = lambda _: refusal(status, error, then)
        with pytest.raises(JoinError) as raised:
            try_join(stand_in.token(), tmp_path / "state")
    assert str(raised.value) == REFUSED[status]
    assert load(tmp_path / "state") is None


def test_nothing_is_sent_to_a_hub_of_another_mesh(tmp_path: Path) -> None:
    with (
        hub(tmp_path) as stand_in,
        pytest.raises(JoinError, match="another mesh's root; nothing secret was sent"),
    ):
        try_join(stand_in.token(root=new_key()), tmp_path / "state")
    assert stand_in.paths == ["/join/delegation"]
    assert read_key(tmp_path / "state") is None


def test_nothing_is_sent_to_one_who_shows_a_delegation_for_another_key(tmp_path: Path) -> None:
    with hub(tmp_path, lie=True) as stand_in, pytest.raises(JoinError, match="somebody is in between"):
        try_join(stand_in.token(), tmp_path / "state")
    assert stand_in.paths == ["/join/delegation"]


@pytest.mark.parametrize("shown", [b"", b"<html>", b"\x82", b"x" * 9000])
def test_what_is_no_hub_at_all_is_said(tmp_path: Path, shown: bytes) -> None:
    with hub(tmp_path) as stand_in:
        stand_in.shown = shown
        with pytest.raises(JoinError, match="cannot join: "):
            try_join(stand_in.token(), tmp_path / "state")
    assert stand_in.asked == []


def test_hubs_that_are_not_there_are_each_named(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        with hub(tmp_path) as stand_in:
            with pytest.raises(
                JoinError, match=rf"no hub of the token could be reached: {nobody}: Connection refused"
            ):
                try_join(stand_in.token(nobody), tmp_path / "state")
            assert try_join(stand_in.token(nobody, stand_in.address), tmp_path / "state").name == "box"


def test_a_token_cut_short_is_told_before_anything_happens(tmp_path: Path) -> None:
    with hub(tmp_path) as stand_in:
        token = stand_in.token()
        for end in range(len(token)):
            with pytest.raises(JoinError, match=r"^cannot join: "):
                try_join(token[:end], tmp_path / "state")
    assert stand_in.paths == []


def test_a_name_that_cannot_be_one_is_told(tmp_path: Path) -> None:
    with hub(tmp_path) as stand_in, pytest.raises(JoinError, match="cannot join as 'My Box'"):
        join(stand_in.token(), tmp_path / "state", "My Box", machine=MACHINE)


def test_an_identity_that_was_edited_is_refused(tmp_path: Path) -> None:
    with hub(tmp_path) as stand_in:
        try_join(stand_in.token(), tmp_path / "state")
    state = tmp_path / "state"
    path = state / "identity" / "identity.json"
    for each in (path, path.with_name("identity.json.twin")):
        each.write_text(each.read_text().replace('"mesh": "home"', '"mesh": "work"'))
    with pytest.raises(IdentityError, match="its delegation is for home/north"):
        load(state)


def test_a_machine_of_another_mesh_stays_there(tmp_path: Path) -> None:
    with hub(tmp_path) as stand_in:
        found = try_join(stand_in.token(), tmp_path / "state")
    with (
        hub(tmp_path, mesh="work") as other,
        pytest.raises(JoinError, match="cannot join work: this machine is box"),
    ):
        try_join(other.token(), tmp_path / "state")
    assert other.asked == []
    assert load(tmp_path / "state") == found


def test_a_full_disk_is_told_and_joining_again_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    with hub(tmp_path) as stand_in:
        real = os.fsync

        def full(_fd: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(JoinError, match=r"No space left on device.*make room on the disk"):
            try_join(stand_in.token(), state)
        monkeypatch.setattr(os, "fsync", real)
        assert load(state) is None
        assert try_join(stand_in.token(), state) == load(state)


def test_without_root_the_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with hub(tmp_path) as stand_in:
        monkeypatch.setattr(Path, "mkdir", denied)
        with pytest.raises(JoinError, match=r"Permission denied \(run it as root\)"):
            try_join(stand_in.token(), tmp_path / "state")


@given(st.binary(max_size=200))
def test_any_other_file_is_no_identity(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    state = tmp_path_factory.mktemp("state")
    (state / "identity").mkdir()
    (state / "identity" / "identity.json").write_bytes(data)
    with pytest.raises(IdentityError):
        load(state)


def test_a_key_cut_short_is_never_replaced(tmp_path: Path) -> None:
    key = machine_key(tmp_path)
    path, twin = (tmp_path / "identity" / name for name in ("machine.key", "machine.key.twin"))
    path.write_bytes(key[:31])
    assert machine_key(tmp_path) == key
    twin.write_bytes(bytes(32))
    with pytest.raises(IdentityError, match="31 bytes instead of 32, and there is no good twin"):
        machine_key(tmp_path)
    assert path.read_bytes() == key[:31]


@pytest.mark.parametrize("name", ["identity.json", "machine.key", "identity.json.twin", "machine.key.twin"])
@pytest.mark.parametrize("damage", [None, b"", bytes(32), b"{"])
def test_one_damaged_file_costs_a_machine_nothing(tmp_path: Path, name: str, damage: bytes | None) -> None:
    state = tmp_path / "state"
    with hub(tmp_path) as stand_in:
        found = try_join(stand_in.token(), state)
    path = state / "identity" / name
    path.unlink() if damage is None else path.write_bytes(damage)
    assert load(state) == found
    assert node_id(public_key(machine_key(state))) == found.node


def test_an_identity_of_another_key_is_refused(tmp_path: Path) -> None:
    with hub(tmp_path) as stand_in:
        try_join(stand_in.token(), tmp_path / "state")
    machine_key(tmp_path / "state", fresh=True)
    with pytest.raises(IdentityError, match="another machine key"):
        load(tmp_path / "state")
