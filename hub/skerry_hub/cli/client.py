"""The hub's API as the command line uses it: every failure is a CliError.

The hubs of the settings are tried in order. A change carries an idempotency key, and is sent once more when the
connection breaks before its answer came: the hub does it once all the same. Between `with` and its end one connection
serves all calls; otherwise each call has its own.
"""

from __future__ import annotations

import http.client
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import IO, TYPE_CHECKING, Protocol, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from ..api.views import Refusal
from .errors import EXIT_FAILED, EXIT_REFUSED, EXIT_UNREACHABLE, CliError
from .pinned import CONNECT_FAULTS, PinnedConnection
from .places import Known
from .settings import Settings

if TYPE_CHECKING:
    from .early import Sent

T = TypeVar("T")
Query = Mapping[str, str | int | bool | None]
CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
HTTP_ERROR = 400
NOT_FOUND = 404
HUB_FAULT = 500
CHUNK = 1 << 20
REPEATABLE = {"GET", "HEAD"}
BROKEN = (OSError, http.client.HTTPException)


class Readable(Protocol):
    """What a body can be read from, bit by bit."""

    def read(self, amount: int = -1, /) -> bytes: ...


class BrokenOff(CliError):
    """The connection ended before the answer did."""

    def __init__(self, doing: str, error: Exception) -> None:
        text = str(error) or type(error).__name__
        super().__init__(f"cannot {doing}: the hub broke off: {text}", "try again", EXIT_UNREACHABLE)


class Client:
    """The API of the hub that `settings` name."""

    def __init__(
        self, settings: Settings, connect_seconds: float = CONNECT_SECONDS, read_seconds: float = READ_SECONDS
    ) -> None:
        self.settings = settings
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._keeping = False
        self._idle: PinnedConnection | None = None

    def __enter__(self) -> Self:
        self._keeping = True
        return self

    def __exit__(self, *_: object) -> None:
        self._keeping = False
        if self._idle is not None:
            self._idle.close()
            self._idle = None

    def get(self, kind: type[T], path: str, **query: str | int | bool | None) -> T:
        """The answer to a GET, decoded as `kind`."""
        with self._open("GET", with_query(path, query)) as answer:
            return decoded(kind, answer.read())

    def send(self, kind: type[T], method: str, path: str, body: object = None, etag: str | None = None) -> T:
        """A change, made once; the answer as `kind`."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(16)}
        if etag is not None:
            headers["If-Match"] = etag
        data = b"" if body is None else msgspec.json.encode(body)
        try:
            return self._sent(kind, method, path, data, headers)
        except BrokenOff:
            return self._sent_again(kind, method, path, data, headers)

    def answer_to(self, kind: type[T], sent: Sent) -> T | None:
        """What the hub answers to a change that is on its way; None where it refused it, and nothing was changed."""
        connection = self._connection(sent.hub)
        connection.adopt(sent.line)
        response = http.client.HTTPResponse(sent.line, method="POST")
        try:
            try:
                response.begin()
                with self._answer(connection, response, "apply") as answer:
                    return decoded(kind, answer.read())
            except BROKEN:
                connection.close()
                return self._sent_again(kind, "POST", sent.target, sent.body, sent.headers)
            except BrokenOff:
                return self._sent_again(kind, "POST", sent.target, sent.body, sent.headers)
        except Refused as no:
            if no.status >= HUB_FAULT:
                raise
            return None

    def _sent_again(self, kind: type[T], method: str, path: str, data: bytes, headers: dict[str, str]) -> T:
        """The same once more, by the same key. Where the hub is gone, nobody here knows what became of the first."""
        try:
            return self._sent(kind, method, path, data, headers)
        except CliError as error:
            if error.code != EXIT_UNREACHABLE:
                raise
            then = "whether it was done is not known: 'skerry events' says so when the hub is back"
            raise CliError(error.what, then, EXIT_UNREACHABLE) from error

    def _sent(self, kind: type[T], method: str, path: str, data: bytes, headers: dict[str, str]) -> T:
        with self._open(method, path, data, headers) as answer:
            return decoded(kind, answer.read())

    def upload(self, path: str, source: Readable, size: int) -> None:
        """PUTs `size` bytes without holding them in memory."""
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        headers["Idempotency-Key"] = secrets.token_hex(16)
        with self._open("PUT", path, source, headers) as answer:
            answer.read()

    def has(self, path: str) -> bool:
        """Whether a HEAD of `path` finds something. A HEAD's refusal has no body, so that only its number is said."""
        try:
            with self._open("HEAD", path) as answer:
                answer.read()  # there is nothing, and the connection knows only then that it is free
                return True
        except Refused as refused:
            if refused.status == NOT_FOUND:
                return False
            raise

    def download(self, path: str, target: IO[bytes]) -> int:
        """Writes the body of a GET to `target`; its size in bytes."""
        size = 0
        with self._open("GET", path) as answer:
            while chunk := answer.read(CHUNK):
                target.write(chunk)
                size += len(chunk)
        return size

    def lines(self, path: str, **query: str | int | bool | None) -> Iterator[bytes]:
        """The lines of a streamed answer, as they come; ends when the hub ends it. Raises BrokenOff."""
        with self._open("GET", with_query(path, query), endless=True) as answer:
            while line := answer.readline():
                yield line.rstrip(b"\r\n")

    def _open(
        self,
        method: str,
        path: str,
        body: bytes | Readable | None = None,
        headers: dict[str, str] | None = None,
        endless: bool = False,
    ) -> Answer:
        kept, self._idle = self._idle, None
        if kept is not None and method in REPEATABLE:
            kept.wait(None if endless else self._connect_seconds)
            with suppress(BrokenOff):  # the hub may have ended it meanwhile
                return self._asked(kept, method, path, body, headers)
            kept = None
        if kept is not None and not isinstance(body, bytes):  # what is streamed cannot be sent once more
            kept.close()
            kept = None
        connection = kept or self._connected()
        connection.wait(None if endless else self._read_seconds)
        return self._asked(connection, method, path, body, headers)

    def _asked(
        self,
        connection: PinnedConnection,
        method: str,
        path: str,
        body: bytes | Readable | None,
        headers: dict[str, str] | None,
    ) -> Answer:
        doing = f"{method} {path.partition('?')[0]}"
        try:
            _ask(connection, method, path, body, self._who() | (headers or {}))
            response = connection.getresponse()
        except BROKEN as error:
            connection.close()
            raise BrokenOff(doing, error) from error
        return self._answer(connection, response, doing)

    def _answer(self, connection: PinnedConnection, response: http.client.HTTPResponse, doing: str) -> Answer:
        """Raises Refused."""
        if response.status < HTTP_ERROR:
            return Answer(connection, response, doing, self._give_back)
        with Answer(connection, response, doing) as answer:
            raise refused(response.status, answer.read())

    def _give_back(self, connection: PinnedConnection) -> None:
        """A connection on which nothing is under way."""
        if self._keeping and self._idle is None:
            self._idle = connection
        else:
            connection.close()

    def _who(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.settings.token}"}

    def _connected(self) -> PinnedConnection:
        reasons = []
        for hub in self.settings.hubs:
            connection = self._connection(hub)
            try:
                connection.connect()
                return connection
            except CONNECT_FAULTS as error:
                connection.close()
                reasons.append(f"{hub}: {_plainly(error)}")
        raise CliError(
            f"cannot reach the hub: {'; '.join(reasons)}",
            "running work is not affected: on a node, 'skerry-agent status' says how it is",
            EXIT_UNREACHABLE,
        )

    def _connection(self, hub: str) -> PinnedConnection:
        s = self.settings
        known = Known(s.source) if s.source else None
        return PinnedConnection(hub, s.pin, s.socket, self._connect_seconds, self._read_seconds, known)


def _plainly(error: Exception) -> str:
    """Why there is no connection, without the numbers and file names of those who made the text."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return re.sub(r"^\[[A-Z0-9_: ]+\] |\s*\(_ssl\.c:\d+\)", "", text)


def _ask(
    connection: PinnedConnection,
    method: str,
    path: str,
    body: bytes | Readable | None,
    headers: dict[str, str],
) -> None:
    try:
        connection.request(method, path, body=body, headers=headers)
    except (BrokenPipeError, ConnectionResetError):
        # A hub that refuses a big body does so before it has read all of it: its answer is there to be read.
        if body is None or connection.sock is None:
            raise


class Answer:
    """A response. A read that breaks raises BrokenOff.

    At its end the connection is given to `whole`, if it can serve another call, and else closed.
    """

    def __init__(
        self,
        connection: PinnedConnection,
        response: http.client.HTTPResponse,
        doing: str,
        whole: Callable[[PinnedConnection], None] | None = None,
    ) -> None:
        self._connection = connection
        self._response = response
        self._doing = doing
        self._whole = whole

    def read(self, size: int | None = None) -> bytes:
        try:
            return self._response.read(size)
        except BROKEN as error:
            raise BrokenOff(self._doing, error) from error

    def readline(self) -> bytes:
        try:
            return self._response.readline()
        except BROKEN as error:
            raise BrokenOff(self._doing, error) from error

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._whole is not None and self._response.isclosed() and not self._response.will_close:
            self._whole(self._connection)
        else:
            self._connection.close()


def api(*parts: str) -> str:
    """A path of the API; each part may hold anything a person typed."""
    return "/".join(["/api", *(quote(part, safe="") for part in parts)])


def with_query(path: str, query: Query) -> str:
    """`path` with those of `query` that are given: None and False are left out, True is `true`."""
    given = {
        key: "true" if value is True else value
        for key, value in query.items()
        if value is not None and value is not False and value != ""
    }
    return f"{path}?{urlencode(given)}" if given else path


def decoded(kind: type[T], body: bytes) -> T:
    """An answer's JSON as `kind`. Raises CliError."""
    try:
        return msgspec.json.decode(body or b"null", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CliError(
            f"cannot read the hub's answer: {error}", "are this command and the hub of one release?"
        ) from error


class Refused(CliError):
    """The hub understood and said no, or with 500 and above could not do what it wanted to."""

    def __init__(self, status: int, what: str, then: str) -> None:
        super().__init__(what, then, EXIT_REFUSED if status < HUB_FAULT else EXIT_FAILED)
        self.status = status


def refused(status: int, body: bytes) -> Refused:
    """The hub's refusal in its own words, or its number where it sent none."""
    try:
        refusal = msgspec.json.decode(body, type=Refusal)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        refusal = Refusal(f"cannot do that: the hub answered {status}")
    return Refused(
        status, "\n".join([refusal.error, *(f"  {fault}" for fault in refusal.faults)]), refusal.then
    )
