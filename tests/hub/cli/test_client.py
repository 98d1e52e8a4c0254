"""The parts of the client that need no hub; tests/hub/cli/test_against_hub.py has the rest."""

from __future__ import annotations

import io
import socket
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.api.views import ApplyView, EventView, PersonView, Refusal
from skerry_hub.cli import early
from skerry_hub.cli.client import Client, api, decoded, refused, with_query
from skerry_hub.cli.errors import EXIT_FAILED, EXIT_REFUSED, EXIT_UNREACHABLE, CliError
from skerry_hub.cli.places import Known
from skerry_hub.cli.settings import Settings, load
from skerry_hub.identity import Identity, create
from skerry_protocol.codec import encode
from skerry_protocol.ids import MeshName, Region

PIN = "ab" * 32


def test_a_query_holds_what_is_given() -> None:
    assert (
        with_query("/p", {"a": None, "b": False, "c": True, "d": 0, "e": "x y", "f": ""})
        == "/p?c=true&d=0&e=x+y"
    )
    assert with_query("/p", {}) == "/p"


@given(st.text(min_size=1))
def test_whatever_a_person_types_is_one_part_of_a_path(text: str) -> None:
    path = api("apps", text.encode("utf-8", "replace").decode())
    assert path.count("/") == 3
    assert path.isascii()
    assert " " not in path
    assert "?" not in path


def test_an_answer_of_another_kind_is_a_line() -> None:
    with pytest.raises(CliError, match="cannot read the hub's answer"):
        decoded(EventView, b'{"id": "seven"}')
    with pytest.raises(CliError, match="cannot read the hub's answer"):
        decoded(EventView, b"<html>")


def test_the_hubs_refusal_is_said_in_its_own_words() -> None:
    error = refused(409, b'{"error": "cannot X: y", "then": "do z", "faults": ["f1", "f2"]}')
    assert (error.what, error.then, error.code) == ("cannot X: y\n  f1\n  f2", "do z", EXIT_REFUSED)
    assert Refusal("cannot X: y").error == "cannot X: y"


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>", b"\xff", b'{"error": 5}'])
def test_a_refusal_without_words_has_its_number(body: bytes) -> None:
    error = refused(502, body)
    assert (error.what, error.code) == ("cannot do that: the hub answered 502", EXIT_FAILED)


def test_every_hub_that_is_not_there_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening: whoever connects is refused
        port = taken.getsockname()[1]
        hubs = (f"https://127.0.0.1:{port}", f"https://localhost:{port}")
        with pytest.raises(CliError) as caught:
            Client(Settings(hubs, PIN, "t")).get(EventView, "/api/me")
    assert caught.value.code == EXIT_UNREACHABLE
    assert all(hub in caught.value.what for hub in hubs)


def test_what_speaks_no_tls_is_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=_answer, args=(server, b"HTTP/1.1 200 OK\r\n\r\n"))
        answering.start()
        address = f"https://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(CliError, match="cannot reach the hub") as caught:
            Client(Settings((address,), PIN, "t")).get(EventView, "/api/me")
        answering.join()
    assert caught.value.code == EXIT_UNREACHABLE


def _answer(server: socket.socket, words: bytes) -> None:
    peer, _ = server.accept()
    with peer:
        peer.recv(4096)
        peer.sendall(words)


def test_a_socket_that_is_not_there_is_a_line() -> None:
    with pytest.raises(CliError, match=r"cannot reach the hub.*/nowhere/api\.sock: No such file"):
        Client(Settings(("https://hub:1",), PIN, "t", "/nowhere/api.sock")).get(EventView, "/api/me")


def test_a_hub_that_goes_away_in_the_middle_of_a_change_leaves_no_promise(tmp_path: Path) -> None:
    """It proved who it is and took the request; whether it did it, nobody here can know."""
    identity = create(tmp_path / "hub", MeshName("coast"), Region("north"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        going = threading.Thread(target=_go_away, args=(server, identity))
        going.start()
        address = f"https://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(CliError, match="cannot reach the hub") as caught:
            Client(Settings((address,), identity.pin, "t")).send(EventView, "POST", "/api/apply", {})
        going.join()
    assert caught.value.code == EXIT_UNREACHABLE
    assert caught.value.then.startswith("whether it was done is not known: 'skerry events' says so")


def _go_away(server: socket.socket, identity: Identity) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.tls_key)
    plain, _ = server.accept()
    server.close()
    with context.wrap_socket(plain, server_side=True) as taken:
        taken.recv(65536)
        body = encode(identity.delegation)
        taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        taken.recv(65536)


class Hub:
    """As much of a hub as a client needs: it proves itself and answers each request with `answers`, in turn.

    None as an answer: the connection is ended instead. `heard`: the requests, but those for its proof.
    """

    def __init__(self, folder: Path, answers: Sequence[bytes | None]) -> None:
        self.heard: list[bytes] = []
        self.connections = 0
        self._answers = list(answers)
        self._identity = create(folder / "hub", MeshName("coast"), Region("north"))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self._identity.certificate, self._identity.tls_key)
        self._server = socket.create_server(("127.0.0.1", 0))
        address = f"https://127.0.0.1:{self._server.getsockname()[1]}"
        self.config = folder / "operator.toml"
        self.config.write_text(f'hub = "{address}"\npin = "{self._identity.pin}"\ntoken = "t"\n')
        self._thread = threading.Thread(target=self._serve)

    @property
    def client(self) -> Client:
        return Client(load((self.config,)))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        while self._answers:
            plain, _ = self._server.accept()
            self.connections += 1
            with self._context.wrap_socket(plain, server_side=True) as line, line.makefile("rwb") as stream:
                while self._answers and (request := _request(stream)) and (said := self._answer(request)):
                    stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said) + said)
                    stream.flush()

    def _answer(self, request: bytes) -> bytes | None:
        if b"/join/delegation" in request:
            return encode(self._identity.delegation)
        self.heard.append(request)
        return self._answers.pop(0)


def _request(stream: io.BufferedRWPair) -> bytes:
    """Head and body of the next request; empty at the end."""
    head = b""
    while (line := stream.readline()).strip():
        head += line
    size = next((int(one[15:]) for one in head.lower().splitlines() if one.startswith(b"content-length:")), 0)
    return head + stream.read(size)


def test_one_connection_serves_a_whole_command(tmp_path: Path) -> None:
    person = b'{"name": "mara", "role": "admin", "made_at_ms": 1}'
    with Hub(tmp_path, [person, person, person]) as hub, hub.client as client:
        for _ in range(2):
            assert client.get(PersonView, "/api/me").name == "mara"
        assert client.send(PersonView, "POST", "/api/people", {}).name == "mara"
    assert (hub.connections, len(hub.heard)) == (1, 3)


def test_a_question_on_a_connection_that_ended_meanwhile_is_asked_again(tmp_path: Path) -> None:
    person = b'{"name": "mara", "role": "admin", "made_at_ms": 1}'
    with Hub(tmp_path, [person, None, person, None, person]) as hub, hub.client as client:
        assert client.get(PersonView, "/api/me").name == "mara"
        assert client.get(PersonView, "/api/me").name == "mara"
        assert client.send(PersonView, "POST", "/api/people", {}).name == "mara"
    assert hub.connections == 3
    first, again = (key(request) for request in hub.heard[3:])
    assert first == again  # so that a hub that had done it does it no second time


def key(request: bytes) -> bytes:
    return next(line for line in request.splitlines() if line.startswith(b"Idempotency-Key: "))


def test_an_apply_sent_early_is_sent_again_by_its_key_when_its_answer_does_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "apps.toml"
    file.write_text("[app.web]\n")
    with Hub(tmp_path, [b"[]", None, b'{"revisions": {"web": 7}}']) as hub:
        monkeypatch.setenv("SKERRY_CONFIG", str(hub.config))
        assert early.send(["apply", str(file)]) is None  # it has not proved itself here yet
        hub.client.get(list[int], "/api/apps")
        sent = early.send(["apply", str(file), "--reason", "a b"])
        assert sent is not None
        done = hub.client.answer_to(ApplyView, sent)
    assert done is not None
    assert done.revisions == {"web": 7}
    first, again = hub.heard[1:]
    assert key(first) == key(again)
    assert first.startswith(b"POST /api/apply/file?name=")
    assert first.splitlines()[0].endswith(b"&reason=a%20b HTTP/1.1")
    assert first.splitlines()[-1] == again.splitlines()[-1] == b"[app.web]"


def test_a_hub_with_another_certificate_is_told_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "apps.toml"
    file.write_text("[app.web]\n")
    with Hub(tmp_path, [b"[]"]) as hub:
        monkeypatch.setenv("SKERRY_CONFIG", str(hub.config))
        settings = load((hub.config,))
        Known(str(hub.config)).keep(settings.hubs[0], settings.pin, b"the certificate of somebody else")
        assert early.send(["apply", str(file)]) is None
        hub.client.get(list[int], "/api/apps")
    assert [request[:13] for request in hub.heard] == [b"GET /api/apps"]
