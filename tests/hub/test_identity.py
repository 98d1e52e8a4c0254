"""The hub's keys: made once, checked when read, and a certificate that no clock makes invalid."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from skerry_hub.identity import ALWAYS, IdentityError, create, free_of_others, read
from skerry_protocol import signing
from skerry_protocol.ids import MeshName, Region

MESH, REGION = MeshName("coast"), Region("north")


def test_what_was_made_is_read(tmp_path: Path) -> None:
    made = create(tmp_path / "hub", MESH, REGION)
    assert read(tmp_path / "hub") == made
    assert free_of_others(tmp_path / "hub")
    word = signing.open_delegation(made.delegation, made.pin)
    certificate = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    assert word.tls_key == signing.tls_key_of(certificate.public_bytes(serialization.Encoding.DER))
    assert certificate.not_valid_before_utc == ALWAYS[0]
    assert certificate.not_valid_after_utc == ALWAYS[1]


def test_the_root_key_may_be_elsewhere_and_go(tmp_path: Path) -> None:
    root = tmp_path / "root.key"
    first = create(tmp_path / "a", MESH, REGION, root)
    second = create(tmp_path / "b", MESH, Region("south"), root)
    assert first.pin == second.pin
    root.unlink()
    assert read(tmp_path / "a") == first
    assert not (tmp_path / "a" / "root.key").exists()


@pytest.mark.parametrize("name", ["hub.key", "tls.crt", "delegation"])
def test_a_folder_that_is_not_whole(tmp_path: Path, name: str) -> None:
    create(tmp_path / "hub", MESH, REGION)
    create(tmp_path / "other", MESH, REGION)
    file = tmp_path / "hub" / name
    file.write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(IdentityError, match="cannot use the keys"):
        read(tmp_path / "hub")
    file.write_bytes(b"damaged")
    with pytest.raises(IdentityError, match="cannot"):
        read(tmp_path / "hub")
    file.unlink()
    with pytest.raises(IdentityError, match="is missing"):
        read(tmp_path / "hub")


def test_a_second_init_is_refused(tmp_path: Path) -> None:
    create(tmp_path / "hub", MESH, REGION)
    with pytest.raises(IdentityError, match="there is one"):
        create(tmp_path / "hub", MESH, REGION)
