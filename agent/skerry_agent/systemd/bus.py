"""One connection to the system bus, by pystemd's lowest layer. Owns every trap of it, so that nobody else has to.

- A call blocks the whole process until systemd answers (sd-bus keeps the GIL), so waiting is cut at CALL_TIMEOUT.
- Signals that arrive during a call are queued inside sd-bus and do not wake the loop: `call` pumps after itself.
- sd-bus keeps a borrowed pointer to each callback: they are held here, for as long as the connection is.
- The system bus, not the private socket: that one is dropped at daemon-reexec. Any doubt about the connection ends it;
  the next call, or the timer, opens another.
Must never decide what an answer means.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct

from .library import load
from .wire import Argument

SYSTEMD = b"org.freedesktop.systemd1"
MANAGER = b"/org/freedesktop/systemd1"
CALL_TIMEOUT = "5s"
RETRY_SECONDS = (0.1, 0.5, 2.0, 5.0)
EMPTY_ROUNDS = 4  # sd-bus answers "nothing" between its own messages too, so once is not the end

BROKEN = {
    errno.ENOTCONN,
    errno.ECONNRESET,
    errno.ECONNREFUSED,
    errno.EPIPE,
    errno.ESHUTDOWN,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.EBADF,
    errno.EIO,
}


class Lost(ConnectionError):
    """The connection broke or systemd did not answer in time; whether the call had an effect is not known."""


class Refused(Exception):
    """systemd answered with an error. `number` is an errno, the text is systemd's own."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text or os.strerror(number))
        self.number = number


class Signal(Struct, frozen=True):
    """One signal as it came. `body` is its arguments: a list where there are several."""

    member: str
    path: bytes
    body: object


class Bus:
    """The connection. `on_signal` is called in the loop, `on_open` after each (re)connection, with a reason."""

    def __init__(
        self,
        signals: Sequence[tuple[bytes | None, bytes, bytes]],
        on_signal: Callable[[Signal], None],
        on_lost: Callable[[str], None],
        on_open: Callable[[], None],
    ) -> None:
        self._signals = signals
        self._on_signal, self._on_lost, self._on_open = on_signal, on_lost, on_open
        self._connection: _Connection | None = None
        self._tries = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def open(self) -> None:
        """Connect now, if not connected. Raises Lost."""
        if self._connection is not None:
            return
        if self._closed:
            raise Lost("the connection to systemd was closed")
        try:
            self._connection = _Connection(self._signals, self.pump)
        except (Lost, Refused) as error:
            self._try_later()
            raise Lost(f"cannot connect to the system bus: {error}") from error
        self._tries = 0
        self._on_open()

    def close(self) -> None:
        """Disconnect for good."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._drop("closed")

    def call(self, path: bytes, interface: bytes, method: str, args: Sequence[Argument] = ()) -> object:
        """The body of the answer. Raises Refused, or Lost."""
        self.open()
        assert self._connection is not None
        try:
            answer = self._connection.call(path, interface, method, args)
            asyncio.get_running_loop().call_soon(self.pump)
            return answer
        except Lost as error:
            self._drop(str(error))
            raise

    def get(self, path: bytes, interface: bytes, name: str, signature: str) -> object:
        """One property. Raises Refused, or Lost."""
        self.open()
        assert self._connection is not None
        try:
            value = self._connection.get(path, interface, name, signature)
            asyncio.get_running_loop().call_soon(self.pump)
            return value
        except Lost as error:
            self._drop(str(error))
            raise

    def pump(self) -> None:
        """Deliver every signal that has arrived."""
        connection = self._connection
        if connection is None:
            return
        try:
            signals = connection.arrived()
        except Lost as error:
            self._drop(str(error))
            return
        for signal in signals:
            self._on_signal(signal)

    def _drop(self, reason: str) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            self._on_lost(reason)
            self._try_later()

    def _try_later(self) -> None:
        if not self._closed and self._timer is None:
            wait = RETRY_SECONDS[min(self._tries, len(RETRY_SECONDS) - 1)]
            self._tries += 1
            self._timer = asyncio.get_running_loop().call_later(wait, self._try_again)

    def _try_again(self) -> None:
        self._timer = None
        if self._closed:
            return
        try:
            self.open()
        except Lost:
            return  # `open` has set the timer anew


class _Connection:
    """pystemd's bus object, with its errors turned into ours."""

    def __init__(
        self, signals: Sequence[tuple[bytes | None, bytes, bytes]], pump: Callable[[], None]
    ) -> None:
        os.environ.setdefault("SYSTEMD_BUS_TIMEOUT", CALL_TIMEOUT)
        library = load()
        self._error = library.error
        self._arrived: deque[Signal] = deque()
        self._callbacks: list[object] = []
        self._bus = library.bus()
        self._guard(self._bus.open)
        try:
            self._listen(signals)
        except (Lost, Refused):
            self._bus.close()
            raise
        self._fd = int(self._bus.get_fd())
        asyncio.get_running_loop().add_reader(self._fd, pump)
        asyncio.get_running_loop().call_soon(pump)

    def _listen(self, signals: Sequence[tuple[bytes | None, bytes, bytes]]) -> None:
        for path, interface, member in signals:
            callback = _receiver(member.decode(), self._arrived)
            self._callbacks.append(callback)
            self._guard(self._bus.match_signal, SYSTEMD, path, interface, member, callback, None)
        self.call(MANAGER, SYSTEMD + b".Manager", "Subscribe")

    def call(self, path: bytes, interface: bytes, method: str, args: Sequence[Argument] = ()) -> object:
        answer = self._guard(self._bus.call_method, SYSTEMD, path, interface, method.encode(), list(args))
        return getattr(answer, "body", None)

    def get(self, path: bytes, interface: bytes, name: str, signature: str) -> object:
        return self._guard(
            self._bus.get_property, SYSTEMD, path, interface, name.encode(), signature.encode()
        )

    def arrived(self) -> list[Signal]:
        empty = 0
        while empty < EMPTY_ROUNDS:
            message = self._guard(self._bus.process)
            empty = empty + 1 if message.is_empty() else 0  # type: ignore[attr-defined]
        found = list(self._arrived)
        self._arrived.clear()
        return found

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        self._bus.close()

    def _guard(self, function: Callable[..., object], *args: object) -> object:
        try:
            return function(*args)
        except self._error as error:
            raise _ours(int(error.errno), error.err_message) from error
        except SystemError as error:  # a callback failed inside sd-bus: the stream is in doubt
            raise Lost(f"the connection to systemd is in doubt: {error}") from error


def _ours(number: int, text: object) -> Lost | Refused:
    number = abs(number)
    words = text.decode(errors="replace") if isinstance(text, bytes) else str(text or "")
    if number in BROKEN:
        return Lost(f"no answer from systemd: {words or os.strerror(number)}")
    return Refused(number, words)


def _receiver(member: str, arrived: deque[Signal]) -> Callable[..., None]:
    """A plain function, because pystemd sets an attribute on it. It only stores: it must not raise."""

    def receive(message: object, error: object = None, userdata: object = None) -> None:
        message.process_reply(False)  # type: ignore[attr-defined]
        arrived.append(Signal(member, message.get_path(), message.body))  # type: ignore[attr-defined]

    return receive
