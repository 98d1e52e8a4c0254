"""TLS to a hub that is known by its key, not by a name, an authority or a date.

Owns the check of what the other side shows. A machine's clock may be years off when it joins or comes back, so that a
certificate's dates say nothing; what counts is that its key is one that the mesh's root delegated to. The check runs
inside the handshake: before it has passed, nothing is sent.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection

from skerry_protocol.signing import BadSignature, tls_key_of

NOT_DELEGATED = "it shows a key that the mesh's root did not delegate to"
Judge = Callable[[bytes], None]


def context(judge: Judge) -> ssl.SSLContext:
    """Client TLS that is as good as `judge`, which gets the certificate (DER) and raises ssl.SSLError to refuse it."""

    class Pipe(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            judge(self.getpeercert(binary_form=True) or b"")

    class Socket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            judge(self.getpeercert(binary_form=True) or b"")

    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE  # replaced by judge
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.sslobject_class = Pipe
    made.sslsocket_class = Socket
    return made


def only(keys: Callable[[], Collection[bytes]]) -> Judge:
    """Takes a certificate whose key (SHA-256 of its SubjectPublicKeyInfo) is among `keys()` at that moment."""

    def judge(certificate: bytes) -> None:
        try:
            key = tls_key_of(certificate)
        except BadSignature as error:
            raise ssl.SSLCertVerificationError(str(error)) from error
        if key not in keys():
            raise ssl.SSLCertVerificationError(f"{NOT_DELEGATED} (another machine answers there)")

    return judge
