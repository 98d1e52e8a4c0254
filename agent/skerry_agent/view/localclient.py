"""The command line's end of the agent's local socket: blocking, because a command has nothing else to do.

Light to import: no asyncio.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

SOCKET = Path("/run/skerry/agent.sock")
ANSWER_MAX = 16 << 20
HINT = "see 'systemctl status skerry-agent'"


class AgentError(Exception):
    """The agent cannot be reached, or says that it cannot; one line for the user."""


class AgentSilent(AgentError):
    """It is there, and does not answer: what was asked of it may still be done."""


def ask(
    do: str,
    args: Mapping[str, str | int | bool] | None = None,
    path: Path = SOCKET,
    timeout: float | None = 10.0,
) -> Iterator[object]:
    """Each part of the agent's answer as plain JSON data. `timeout` is for the silence between parts; None: for ever.

    Raises AgentError.
    """
    with _connected(path, timeout) as channel, channel.makefile("rb") as answers:
        channel.sendall(json.dumps({"do": do, "args": dict(args or {})}).encode() + b"\n")
        while True:
            answer = _next(answers)
            if "error" in answer:
                raise AgentError(str(answer["error"]))
            if "end" in answer:
                return
            yield answer.get("part")


def _connected(path: Path, timeout: float | None) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.settimeout(timeout)
    try:
        channel.connect(str(path))
    except PermissionError as error:
        channel.close()
        raise AgentError("cannot talk to the agent: run it as root") from error
    except OSError as error:
        channel.close()
        raise AgentError(f"cannot reach the agent: {error.strerror or error} ({HINT})") from error
    return channel


def _next(answers: BinaryIO) -> dict[str, object]:
    try:
        line = answers.readline(ANSWER_MAX)
    except TimeoutError as error:
        raise AgentSilent(f"cannot get an answer: the agent is silent ({HINT})") from error
    except OSError as error:
        raise AgentError(f"cannot get an answer: {error.strerror or error} ({HINT})") from error
    if not line.endswith(b"\n"):
        raise AgentError(f"cannot get an answer: the agent hung up ({HINT})")
    answer = json.loads(line)
    if not isinstance(answer, dict):
        raise AgentError("cannot understand the agent: is it of another version?")
    return answer
