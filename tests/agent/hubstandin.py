"""A small HTTPS server that answers like a hub where machines join, as the test tells it to."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

from skerry_protocol.codec import decode, encode
from skerry_protocol.ids import MeshName, NodeName, Region, node_id
from skerry_protocol.jointoken import format_token
from skerry_protocol.messages import JoinReply, JoinRequest
from skerry_protocol.network import Network
from skerry_protocol.signing import delegate, new_key, pin, public_key
from tests.natsrig import make_certificate

Answer = tuple[int, bytes]


@dataclass
class StandIn:
    """What it was asked, and what it answers. `shown` is the delegation; `respond` answers a join."""

    port: int
    root: bytes
    tls_key: bytes
    shown: bytes
    asked: list[JoinRequest] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    respond: Callable[[JoinRequest], Answer] | None = None
    shown_status: int = 200
    network: Network | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def token(self, *hubs: str, root: bytes | None = None) -> str:
        """A join token for this hub, or for the mesh of another root."""
        return format_token(
            "abcdefgh", b"r" * 20, pin(public_key(root or self.root)), hubs or (self.address,)
        )[0]

    def joined(self, request: JoinRequest, state: str = "joined") -> Answer:
        name = request.name or NodeName(request.hostname)
        node = node_id(request.machine_key)
        reply = JoinReply(state, node, name, MeshName("home"), Region("north"))
        if state == "joined":
            nats = ("tls://127.0.0.1:4222",)
            reply = msgspec.structs.replace(
                reply, nats=nats, hubs=(self.address,), credentials="a.b.c", network=self.network
            )
        return 200, encode(reply)


def refusal(status: int, error: str, then: str = "") -> Answer:
    """As the hub's API refuses."""
    return status, json.dumps({"error": error, "then": then, "faults": []}).encode()


@contextmanager
def hub(
    folder: Path, *, days: tuple[int, int] = (-1, 1), lie: bool = False, serial: int = 1, mesh: str = "home"
) -> Iterator[StandIn]:
    """A running stand-in. `days`: when its certificate holds. `lie`: its delegation is for another TLS key."""
    certificate, key, tls_key = make_certificate(folder, "hub", days)
    root = new_key()
    named = b"\0" * 32 if lie else tls_key
    word = delegate(root, MeshName(mesh), Region("north"), serial, public_key(new_key()), named)
    stand_in = StandIn(0, root, tls_key, encode(word))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            stand_in.paths.append(self.path)
            if self.path == "/join/delegation":
                self.reply(stand_in.shown_status, stand_in.shown)
            else:
                self.reply(200, self.headers.get("Range", "").encode() or b"whole")

        def do_POST(self) -> None:
            stand_in.paths.append(self.path)
            request = decode(JoinRequest, self.rfile.read(int(self.headers["Content-Length"])))
            stand_in.asked.append(request)
            self.reply(*(stand_in.respond or stand_in.joined)(request))

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a client that refuses the certificate hangs up

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    stand_in.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
