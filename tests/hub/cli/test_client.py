"""The parts of the client that need no hub; tests/hub/cli/test_against_hub.py has the rest."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.api.views import EventView, Refusal
from skerry_hub.cli.client import Client, api, decoded, refused, with_query
from skerry_hub.cli.errors import EXIT_FAILED, EXIT_REFUSED, EXIT_UNREACHABLE, CliError
from skerry_hub.cli.settings import Settings
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
