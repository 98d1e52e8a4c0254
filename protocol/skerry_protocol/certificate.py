"""The public key inside of a certificate: as much of X.509 as a pinned key needs (RFC 5280, section 4.1).

A hub is known by its key; names, dates and signatures of its certificate say nothing. A library that reads all of X.509
costs a small node more memory than the rest of its cryptography. Only DER is read, strictly: every length in its one
shortest form, every field in its place. Whatever else reads the same bytes finds the same key or none.
"""

from __future__ import annotations

INTEGER, SEQUENCE, VERSION = 0x02, 0x30, 0xA0
# Before the key in a TBSCertificate: serial number, signature algorithm, issuer, validity, subject.
BEFORE = (INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE)
LENGTH_BYTES = 3  # 16 MB: no certificate is longer


def subject_key(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a DER certificate, as it stands there. Raises ValueError where there is none."""
    start, end = _field(certificate, 0, len(certificate), SEQUENCE)
    if end != len(certificate):
        raise ValueError("more follows after the certificate")
    at, end = _field(certificate, start, end, SEQUENCE)
    if certificate[at : at + 1] == bytes([VERSION]):
        at = _field(certificate, at, end, VERSION)[1]
    for tag in BEFORE:
        at = _field(certificate, at, end, tag)[1]
    return certificate[at : _field(certificate, at, end, SEQUENCE)[1]]


def _field(data: bytes, at: int, limit: int, tag: int) -> tuple[int, int]:
    """Where the content of the field that begins at `at` begins and ends. It has to end before `limit`."""
    if at + 2 > limit or data[at] != tag:
        raise ValueError(f"expected a field of type {tag:#04x} at byte {at}")
    size, start = data[at + 1], at + 2
    if size >= 0x80:
        start += size - 0x80
        size = _long(data[at + 2 : min(start, limit)], size - 0x80)
    if start + size > limit:
        raise ValueError(f"the field at byte {at} is longer than what it is in")
    return start, start + size


def _long(digits: bytes, count: int) -> int:
    """A length of 128 bytes or more: big-endian, no leading zero."""
    size = int.from_bytes(digits, "big")
    if not 1 <= count <= LENGTH_BYTES or len(digits) != count or digits[0] == 0 or size < 0x80:
        raise ValueError("a length is not in its shortest form")
    return size
