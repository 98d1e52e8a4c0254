"""Whether a delegation that a hub shows vouches for the TLS key in use. No I/O."""

from __future__ import annotations

from skerry_protocol.codec import WireError, decode
from skerry_protocol.signing import BadSignature, Signed, open_delegation, tls_key_of


def check(shown: bytes, pin: str, certificate: bytes) -> str | None:
    """Why `shown`, from `GET /join/delegation`, is no proof that `certificate` is the hub's; None where it is."""
    try:
        delegation = open_delegation(decode(Signed, shown, limit=len(shown)), pin)
        if delegation.tls_key != tls_key_of(certificate):
            return "the mesh's root does not vouch for the TLS key in use"
    except (BadSignature, WireError) as error:
        return str(error)
    return None
