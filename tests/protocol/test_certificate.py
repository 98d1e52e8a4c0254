"""The key that is read from a certificate is the one that a whole X.509 library finds there, or none."""

from __future__ import annotations

import datetime as dt
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from skerry_protocol.certificate import subject_key

KINDS = ("ec", "ed25519", "rsa")
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
# A version 1 certificate says no version; nothing here makes one, so it is cut out of a version 3 one.
VERSION_3 = b"\xa0\x03\x02\x01\x02"


def _key(kind: str) -> ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey:
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate()


@cache
def certificate(kind: str, name: str = "skerry hub") -> bytes:
    key = _key(kind)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=36500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, None if kind == "ed25519" else hashes.SHA256())
    )
    return made.public_bytes(Encoding.DER)


def by_library(der: bytes) -> bytes:
    key = x509.load_der_x509_certificate(der).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_key_that_the_library_finds(kind: str) -> None:
    assert subject_key(certificate(kind)) == by_library(certificate(kind))


def test_names_may_be_long() -> None:
    der = certificate("ed25519", "x" * 64)
    assert subject_key(der) == by_library(der)


def test_a_certificate_of_version_1_has_its_key_too() -> None:
    der = certificate("ed25519")
    tbs = x509.load_der_x509_certificate(der).tbs_certificate_bytes
    first = wrapped(wrapped(content(tbs).removeprefix(VERSION_3)) + content(der)[len(tbs) :])
    assert subject_key(first) == by_library(der)


def content(field: bytes) -> bytes:
    """Of a field with a length of two or three bytes."""
    return field[2 + field[1] - 0x80 :]


def wrapped(data: bytes) -> bytes:
    """A sequence of 128 to 65535 bytes."""
    size = len(data).to_bytes(1 if len(data) < 256 else 2, "big")
    return bytes([0x30, 0x80 + len(size)]) + size + data


@pytest.mark.parametrize(
    ("der", "reason"),
    [
        (b"", "expected a field of type 0x30 at byte 0"),
        (b"\x30", "expected a field"),
        (b"\x30\x80\x00\x00", "shortest form"),  # of no said length: BER
        (b"\x30\x81\x05" + bytes(5), "shortest form"),
        (b"\x30\x82\x00\x81" + bytes(129), "shortest form"),
        (b"\x30\x84\x01\x00\x00\x00", "shortest form"),
        (b"\x30\x05\x30\x09", "longer than what it is in"),
        (b"\x30\x02\x30\x00", "expected a field of type 0x02"),
    ],
)
def test_what_is_no_der_certificate_is_refused(der: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        subject_key(der)


def test_nothing_may_follow() -> None:
    with pytest.raises(ValueError, match="more follows"):
        subject_key(certificate("ec") + b"\0")


@given(st.binary(max_size=300))
def test_any_bytes_have_a_key_or_are_refused(data: bytes) -> None:
    try:
        found = subject_key(data)
    except ValueError:
        return
    assert found in data


@given(st.sampled_from(KINDS), st.data())
def test_in_a_changed_certificate_it_is_the_same_key_as_the_librarys(kind: str, data: st.DataObject) -> None:
    der = bytearray(certificate(kind))
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        expected = by_library(bytes(der))
    except Exception:  # noqa: BLE001 - the library has many ways to say no
        return
    try:
        found = subject_key(bytes(der))
    except ValueError:
        return
    assert x509_key(found) == x509_key(expected)


def x509_key(info: bytes) -> bytes:
    """Its bits: the library writes an algorithm's parameters its own way."""
    return info[-32:]
