"""Machines that join a running hub over HTTPS, one after the other."""

from __future__ import annotations

import http.client
import ssl
import time

from msgspec import Struct

from skerry_protocol import signing
from skerry_protocol.codec import encode
from skerry_protocol.jointoken import JoinToken, parse_token
from skerry_protocol.messages import JoinRequest

from .hubproc import HOST, HubProcess


class _Made(Struct, frozen=True):
    text: str


def join_times(hub: HubProcess, many: int) -> list[float]:
    """Seconds that each join took, from connecting to the hub's answer."""
    ask = {"reusable": True, "limit": many}
    text = hub.client.send(_Made, "POST", "/api/tokens", ask).text
    token = parse_token(text)
    assert isinstance(token, JoinToken)
    return [_join(hub.port, token, f"late{number}") for number in range(many)]


def _join(port: int, token: JoinToken, hostname: str) -> float:
    key = signing.new_key()
    words = signing.join_words(token.id, token.secret, signing.public_key(key))
    proof = signing.sign(key, signing.JOIN, words).signature
    asked = JoinRequest(token.id, token.secret, signing.public_key(key), proof, hostname, arch="x86_64")
    began = time.monotonic()
    bare = ssl.create_default_context()
    bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
    line = http.client.HTTPSConnection(HOST, port, timeout=60, context=bare)
    line.request("POST", "/join", encode(asked))
    answer = line.getresponse()
    body = answer.read()
    line.close()
    if answer.status != http.client.OK:
        raise RuntimeError(f"{hostname} was not let in: {answer.status} {body[:200]!r}")
    return time.monotonic() - began
