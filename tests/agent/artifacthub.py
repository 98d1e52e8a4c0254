"""A small HTTPS server that proves itself as a hub does and hands out artifacts, as fast as the test lets it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from skerry_protocol.codec import encode
from skerry_protocol.signing import delegate, new_key, public_key
from tests.natsrig import make_certificate

from . import builders as b


@dataclass
class ArtifactHub:
    """`gate`: until it is set, only the first half of an artifact comes."""

    root: bytes
    shown: bytes
    port: int = 0
    artifacts: dict[str, bytes] = field(default_factory=dict)
    assignments: dict[str, bytes] = field(default_factory=dict)
    gate: threading.Event | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, path: str) -> bytes | None:
        kind, _, name = path.removeprefix("/").partition("/")
        if path == "/join/delegation":
            return self.shown
        return {"artifacts": self.artifacts, "assignments": self.assignments}.get(kind, {}).get(name)


@contextmanager
def serving(folder: Path) -> Iterator[ArtifactHub]:
    """A running one."""
    certificate, key, tls_key = make_certificate(folder, "artifacts")
    root = new_key()
    hub = ArtifactHub(root, encode(delegate(root, b.MESH, b.REGION, 1, public_key(b.HUB), tls_key)))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            data = hub.answer(self.path)
            begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
            body = (data or b"")[begin:]
            self.send_response(404 if data is None else 206 if begin else 200)
            if begin:
                self.send_header(
                    "Content-Range", f"bytes {begin}-{begin + len(body) - 1}/{begin + len(body)}"
                )
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body[: len(body) // 2])
                if hub.gate is not None and self.path.startswith("/artifacts/"):
                    self.wfile.flush()
                    hub.gate.wait(10)
                self.wfile.write(body[len(body) // 2 :])

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a client that gives up hangs up

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        if hub.gate is not None:
            hub.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
