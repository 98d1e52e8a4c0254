"""HTTPS pinned by the mesh's root: which hub is trusted, and what is sent to one that is not."""

import ssl
from pathlib import Path

import pytest

from skerry_agent.hublink import pinned
from skerry_agent.hublink.https import HttpsError, PinnedHttps, WrongMesh, meet
from skerry_protocol.codec import encode
from skerry_protocol.ids import MeshName, Region
from skerry_protocol.signing import delegate, new_key, pin, public_key
from tests.agent.hubstandin import StandIn, hub


def opener(stand_in: StandIn, *more: str) -> PinnedHttps:
    return PinnedHttps((*more, stand_in.address), pin(public_key(stand_in.root)), timeout_s=2)


def test_a_hub_proves_itself(tmp_path: Path) -> None:
    with hub(tmp_path, serial=3) as stand_in:
        met = meet(stand_in.address, pin(public_key(stand_in.root)))
        assert (met.delegation.mesh, met.delegation.serial) == ("home", 3)
        assert encode(met.signed) == stand_in.shown


def test_a_body_is_read_piece_by_piece_with_the_callers_headers(tmp_path: Path) -> None:
    with hub(tmp_path) as stand_in, opener(stand_in).open("/artifacts/x", {"Range": "bytes=7-"}) as response:
        assert response.status == 200
        assert response.read(4) + response.read() == b"bytes=7-"


def test_the_next_hub_is_tried(tmp_path: Path) -> None:
    with hub(tmp_path) as stand_in:
        https = opener(stand_in, "127.0.0.1:1", "no-such-host.invalid:7443", "unix:/nowhere/hub.sock")
        assert https.request("GET", "/x").hub == stand_in.address
        assert https.tls_keys() == {stand_in.tls_key}


def test_every_hub_has_its_reason(tmp_path: Path) -> None:
    https = PinnedHttps(("127.0.0.1:1", f"unix:{tmp_path}/hub.sock", "nonsense"), "00" * 32, timeout_s=2)
    with pytest.raises(HttpsError) as raised:
        https.request("GET", "/x")
    assert str(raised.value) == (
        f"127.0.0.1:1: Connection refused; unix:{tmp_path}/hub.sock: No such file or directory; "
        "nonsense: it is not HOST:PORT"
    )


def test_a_hub_that_changed_its_key_is_met_anew(tmp_path: Path) -> None:
    with hub(tmp_path) as stand_in:
        https = opener(stand_in)
        https.request("GET", "/x")
        met = https.met[stand_in.address]
        stale = delegate(stand_in.root, MeshName("home"), Region("north"), 1, b"h" * 32, b"\0" * 32)
        word = meet.__globals__["open_delegation"](stale, https.pin)
        https.met[stand_in.address] = met.__class__(met.hub, word, stale)  # as before the change
        stand_in.paths.clear()
        with pytest.raises(HttpsError, match="did not delegate to"):
            https.request("GET", "/secret")
        assert stand_in.paths == []
        assert https.request("GET", "/x").status == 200


def test_a_lower_serial_than_seen_is_refused(tmp_path: Path) -> None:
    with hub(tmp_path, serial=1) as stand_in:
        https = PinnedHttps((stand_in.address,), pin(public_key(stand_in.root)), serial=2)
        with pytest.raises(WrongMesh, match="serial 1, 2 was seen before"):
            https.request("GET", "/x")
        assert stand_in.paths == ["/join/delegation"]


def test_an_answer_that_is_too_long_is_cut_off(tmp_path: Path) -> None:
    with hub(tmp_path) as stand_in, pytest.raises(HttpsError, match="its answer is too long"):
        opener(stand_in).request("GET", "/x", headers={"Range": "y" * 2000}, limit=1000)


def test_a_judge_refuses_what_is_no_certificate() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        pinned.only(lambda: {new_key()})(b"")
