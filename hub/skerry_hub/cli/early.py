"""`skerry apply FILE`, sent before the rest of the program is loaded: that takes longer than what the hub has to do.

Only the plain case, which needs no judgement here: words that can mean one thing, settings as `skerry-hub init` writes
them, a hub that is known, a small file that names no archive. Everything else, and everything that the hub refuses, is
left to the verb, which does it again from the beginning and says what is wrong. A test holds this module to import
nothing but sockets and TLS, and another one holds it to understand words and settings as the verb does.
"""

from __future__ import annotations

import os
import socket
import ssl

from .places import LAB, LAB_SOCKET, Known, candidates

FLAGS = {"--wait", "--no-wait", "--json"}  # of no concern to the hub
ASKS = {"--confirm": "confirm", "--yes": "confirm", "-y": "confirm", "--leave-data": "leave_data"}
FILE_MAX = 65_536
SETTINGS_MAX = 65_536
SECONDS = 2.0  # a line that takes longer gains nothing here
SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
HEX = frozenset("0123456789abcdef")


class Sent:
    """A request that is on its way: `target` (path and query), `body` and `headers` as they were sent."""

    def __init__(
        self, line: ssl.SSLSocket, hub: str, target: str, body: bytes, headers: dict[str, str]
    ) -> None:
        self.line = line
        self.hub = hub
        self.target = target
        self.body = body
        self.headers = headers


class Hub:
    """Where it is and who asks, as the settings file says."""

    def __init__(self, address: str, pin: str, token: str, unix_socket: str | None, source: str) -> None:
        self.address = address
        self.pin = pin
        self.token = token
        self.unix_socket = unix_socket
        self.source = source


def send(argv: list[str]) -> Sent | None:
    """The apply that these words ask for, on its way; None where it is not for here."""
    asked = words(argv)
    if asked is None or any(name.startswith("_SKERRY") for name in os.environ):  # a shell that completes
        return None
    try:
        body = _file(asked[0])
        hub = body and _hub()
        return _sent(hub, asked[1], body) if body and hub else None
    except (OSError, ValueError):
        return None


def words(argv: list[str]) -> tuple[str, str] | None:
    """The file and the request's target that the words of a plain apply mean."""
    if not argv or argv[0] != "apply":
        return None
    files, reasons, asks = [], [], set()
    rest = iter(argv[1:])
    for word in rest:
        if word in ASKS:
            asks.add(ASKS[word])
        elif word == "--reason":
            reasons.append(next(rest, "-"))
        elif word == "--timeout":
            if not _is_time(next(rest, "")):
                return None
        elif word not in FLAGS:
            files.append(word)
    if len(files) != 1 or len(reasons) > 1 or any(not word or word[0] == "-" for word in files + reasons):
        return None
    try:
        return files[0], target(files[0], reasons[0] if reasons else "", asks)
    except UnicodeEncodeError:
        return None


def _is_time(text: str) -> bool:
    """Whether it is a duration as most people write one: of no concern to the hub, but it has to be right."""
    return text[-1:] in {"s", "m", "h"} and len(text) < 7 and text.isascii() and text[:-1].isdecimal()


def target(file: str, reason: str, asks: set[str]) -> str:
    """Path and query of the request."""
    more = "".join(f"&{one}=true" for one in sorted(asks))
    return f"/api/apply/file?name={_quoted(file)}&reason={_quoted(reason)}{more}"


def _quoted(text: str) -> str:
    return "".join(chr(byte) if byte in SAFE else f"%{byte:02X}" for byte in text.encode())


def _file(path: str) -> bytes | None:
    """A small app file that names no archive: what archives are, the verb finds out."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb") as file:  # noqa: PTH123
        data = file.read(FILE_MAX + 1)
    return data if data and len(data) <= FILE_MAX and b"artifact" not in data else None


def _hub() -> Hub | None:
    """What the first settings file that is there says."""
    for path in candidates():
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                text = file.read(SETTINGS_MAX).decode("ascii")
        except (FileNotFoundError, NotADirectoryError):
            continue
        return settings(text, path)
    return None


def settings(text: str, source: str) -> Hub | None:
    """The settings in `text`, where each is one plain line: `key = "value"`."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        key, equals, value = (part.strip(" ") for part in line.partition("="))
        plain = value[:1] == value[-1:] == '"' and not set(value[1:-1]) & {'"', "\\"} and value.isprintable()
        if not equals or not plain or len(value) < 3 or key in found:
            return None
        found[key] = value[1:-1]
    hub, pin, token = (found.pop(key, "") for key in ("hub", "pin", "token"))
    unix_socket = found.pop("socket", LAB_SOCKET if source == LAB else None)
    if found or len(pin) != 64 or set(pin) - HEX or not token or " " in token or where(hub) is None:
        return None
    return Hub(hub, pin, token, unix_socket, source)


def where(address: str) -> tuple[str, int] | None:
    """Host and port of `https://HOST:PORT`, a name or an IPv4 address; None for what is written in any other way."""
    host, colon, port = address.removeprefix("https://").partition(":")
    plain = host.replace("-", "").replace(".", "")
    if address != f"https://{host}{colon}{port}" or not plain.isalnum() or not 0 < len(port) < 6:
        return None
    return (host, int(port)) if port.isdecimal() and 0 < int(port) < 65_536 else None


def _sent(hub: Hub, target: str, body: bytes) -> Sent | None:
    line = _line(hub)
    try:
        if not Known(hub.source).holds(hub.address, hub.pin, line.getpeercert(binary_form=True) or b""):
            line.close()
            return None
        headers = {
            "Authorization": f"Bearer {hub.token}",
            "Content-Type": "application/toml",
            "Content-Length": str(len(body)),
            "Idempotency-Key": os.urandom(16).hex(),
        }
        lines = [f"POST {target} HTTP/1.1", f"Host: {hub.address.removeprefix('https://')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        line.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    except BaseException:
        line.close()
        raise
    return Sent(line, hub.address, target, body, headers)


def _line(hub: Hub) -> ssl.SSLSocket:
    """A TLS connection; who is at the other end is not known yet."""
    place = where(hub.address)
    assert place is not None
    plain = _plain(place, hub.unix_socket)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # who it is, its certificate says: it is known, or nothing is sent
    return context.wrap_socket(plain, server_hostname=place[0])


def _plain(place: tuple[str, int], unix_socket: str | None) -> socket.socket:
    if unix_socket is None:
        plain = socket.create_connection(place, SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return plain
    plain = socket.socket(socket.AF_UNIX)
    plain.settimeout(SECONDS)
    try:
        plain.connect(unix_socket)
    except OSError:
        plain.close()
        raise
    return plain
