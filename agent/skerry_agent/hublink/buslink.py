"""One connection of a node to NATS. Owns how it proves itself and how the end of the connection is noticed.

The machine's key signs the server's nonce. It signs joins and renewals too, each with its own leading word; a nonce
that does not look like one is therefore not signed.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from skerry_protocol import subjects
from skerry_protocol.ids import NodeId

from . import pinned
from .natslib import Client, errors

log = logging.getLogger(__name__)

CONNECT_WITHIN_S = 15.0
PING_S = 3600  # never, in effect: beats show that the connection carries, the server's pings keep it open on the way
CLOSE_WITHIN_S = 1.0  # a connection whose handshake failed never says that it is closed
# The last is a hub whose key is another one now: a renewal brings the root's word for it, or finds that it is no hub.
REFUSALS = (
    "authorization violation",
    "authentication revoked",
    "authentication expired",
    pinned.NOT_DELEGATED,
)
UNANSWERED = ("timeout", "timed out", "unreachable", "no route", "no answer")
KEPT = 5
NONCE = re.compile(r"[A-Za-z0-9_-]{8,64}")


class BusError(RuntimeError):
    """The hub was not reached or did not do what was asked; the text says why."""


class NotConnected(BusError):
    """There is no connection to NATS now; one is being tried."""


class LoginRefused(BusError):
    """NATS is there, and does not take these credentials, or shows a key that this node does not know."""


class Unanswered(BusError):
    """Nothing comes back from where NATS should be, not even that it does not listen."""


@dataclass(frozen=True)
class Login:
    """How a node gets in: `credentials` as the hub made them, and the raw private machine key."""

    node: NodeId
    credentials: str
    machine_key: bytes

    def sign(self, nonce: str) -> bytes:
        """The server's nonce, signed. Raises BusError for anything that is not one."""
        if NONCE.fullmatch(nonce) is None:
            raise BusError("cannot log in to NATS: the server asks for a signature over something else")
        key = Ed25519PrivateKey.from_private_bytes(self.machine_key)
        return base64.b64encode(key.sign(nonce.encode()))


async def connect(
    servers: Sequence[str], tls: ssl.SSLContext, login: Login, lost: Callable[[], None],
    refused: Callable[[str], None],
) -> Client:  # fmt: skip
    """A connected client. Calls `lost` once it is no use, `refused` for each thing that the server did not permit.

    Raises BusError, also when nothing answers within CONNECT_WITHIN_S.
    """
    client = Client()
    heard: list[str] = []

    async def on_error(error: Exception) -> None:
        heard[:] = [*heard[1 - KEPT :], str(error) or type(error).__name__]
        log.debug("NATS: %s", heard[-1])
        if "permissions violation" in heard[-1].lower():
            refused(heard[-1])

    async def on_end() -> None:
        lost()

    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            await client.connect(
                list(servers), tls=tls, tls_handshake_first=True, tls_hostname="skerry-hub",
                user_jwt_cb=lambda: bytearray(login.credentials.encode()), signature_cb=login.sign,
                inbox_prefix=subjects.inbox(login.node).encode(), name=str(login.node), allow_reconnect=False,
                max_reconnect_attempts=1, reconnect_time_wait=1, connect_timeout=5, ping_interval=PING_S,
                error_cb=on_error, disconnected_cb=on_end, closed_cb=on_end,
            )  # fmt: skip
    except (TimeoutError, OSError, BusError, errors.Error) as error:
        await close(client)
        # The client says only that no server is left; what it heard before is the reason.
        raise _why(servers, [*heard, str(error) or "no answer"]) from error
    except BaseException:
        await close(client)
        raise
    return client


def _why(servers: Sequence[str], heard: list[str]) -> BusError:
    """A refusal counts, whatever was heard of the broken connection after it; else what was heard last but one."""
    where = f"cannot reach NATS at {', '.join(servers)}"
    for reason in heard:
        if any(word in reason.lower() for word in REFUSALS):
            return LoginRefused(f"{where}: {reason}")
    reason = heard[-2] if len(heard) > 1 else heard[-1]
    silent = any(word in reason.lower() for word in UNANSWERED)
    return (Unanswered if silent else BusError)(f"{where}: {reason}")


def heed() -> None:
    """Raises CancelledError where this task was cancelled and has not noticed.

    asyncio.wait_for of Python 3.11, which the NATS client waits with, loses a cancellation that meets its result; a
    loop around it would then go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def settle(client: Client) -> None:
    """Returns when the server has taken all that was sent before. Raises errors.Error.

    Twice, because the client's own flush writes its PING at once, ahead of what still waits to be written: only the
    second comes after that. A subscription might otherwise be missing for a moment more.
    """
    for _ in range(2):
        await client.flush()


async def close(client: Client) -> None:
    """Ends the connection, whatever state it is in."""
    with suppress(TimeoutError, OSError, errors.Error):
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await client.close()
