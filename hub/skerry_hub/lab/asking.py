"""One request to the keeper, over its control socket."""

from __future__ import annotations

import socket

import msgspec

from .errors import LabError
from .layout import Paths
from .wire import Reply, Request, Status

_SLACK = 30.0


def ask(paths: Paths, request: Request) -> Status:
    """Raises what the keeper says is wrong, or that there is no keeper."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(request.seconds + _SLACK)
        try:
            control.connect(str(paths.control))
            control.sendall(msgspec.json.encode(request) + b"\n")
            answer = b"".join(iter(lambda: control.recv(65536), b""))
            reply = msgspec.json.decode(answer, type=Reply)
        except TimeoutError:
            text = f"cannot reach the lab '{paths.name}': its keeper does not answer (see {paths.log})"
            raise LabError(text) from None
        except PermissionError:
            raise  # it may well be up, for root
        except (OSError, msgspec.DecodeError):
            raise LabError(
                f"cannot reach the lab '{paths.name}': it is not up (start it with '{paths.command} up')"
            ) from None
    if reply.error or reply.status is None:
        raise LabError(reply.error or "cannot read the keeper's answer")
    return reply.status
