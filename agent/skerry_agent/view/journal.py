"""The journal of one unit: its last lines, and new ones as they come.

Read by `journalctl -o json`, whose fields are a documented interface (systemd.journal-fields(7)), in a process of its
own: libsystemd's reader would block the agent's loop on a slow disk and map whole journal files into its memory. The
process is killed when its reader goes away.
"""

from __future__ import annotations

import asyncio
import json
import re
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress

from msgspec import Struct

UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@\\-]{1,255}")
LINES_MAX = 10_000
ENTRY_MAX = 1 << 20
TEXT_MAX = 16 << 10


class JournalError(Exception):
    """The journal cannot be read; the text says why."""


class LogLine(Struct, frozen=True, omit_defaults=True):
    """One entry. `at_us` is wall-clock microseconds since 1970; `priority` is syslog's, 0 (emergency) to 7 (debug)."""

    at_us: int
    text: str
    priority: int = 6
    pid: int = 0


async def read(
    unit: str, lines: int, follow: bool = False, program: str = "journalctl"
) -> AsyncGenerator[LogLine, None]:
    """The last `lines` entries of `unit`, oldest first; with `follow` then new ones without end. JournalError."""
    process = await _spawn(program, _arguments(unit, lines, follow))
    try:
        assert process.stdout is not None
        async for raw in _raw_lines(process.stdout):
            entry = parse(raw)
            if entry is not None:
                yield entry
        await _check(process)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()


def _arguments(unit: str, lines: int, follow: bool) -> list[str]:
    if UNIT.fullmatch(unit) is None:
        raise JournalError(f"cannot read the journal of {unit!r}: that is no unit's name")
    fixed = ["--output=json", "--output-fields=MESSAGE,PRIORITY,_PID", "--all", "--quiet", "--no-pager"]
    count = min(max(lines, 0), LINES_MAX)
    return [*fixed, f"--lines={count}", f"--unit={unit}", *(["--follow"] if follow else [])]


async def _spawn(program: str, arguments: list[str]) -> Process:
    try:
        return await asyncio.create_subprocess_exec(
            program, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, limit=ENTRY_MAX
        )
    except OSError as error:
        raise JournalError(f"cannot read the journal: {program}: {error.strerror}") from error


async def _raw_lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        try:
            raw = await stream.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return
        except asyncio.LimitOverrunError as error:
            await stream.readexactly(
                error.consumed
            )  # a monstrous entry: its pieces do not parse and are left out
            continue
        yield raw


async def _check(process: Process) -> None:
    assert process.stderr is not None
    said = (await process.stderr.read(4096)).decode(errors="replace").strip()
    if await process.wait() != 0:
        raise JournalError(f"cannot read the journal: {said or 'journalctl failed'}")


def parse(raw: bytes) -> LogLine | None:
    """One line of journalctl's JSON; None where it is no entry. Text that is not UTF-8 comes as a list of bytes."""
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    message = fields.get("MESSAGE")
    if isinstance(message, list):
        message = bytes(item & 0xFF for item in message if isinstance(item, int)).decode(errors="replace")
    if not isinstance(message, str):
        return None
    priority = _number(fields.get("PRIORITY"), 6)
    return LogLine(
        at_us=_number(fields.get("__REALTIME_TIMESTAMP"), 0),
        text=message if len(message) <= TEXT_MAX else message[:TEXT_MAX] + " ...",
        priority=priority if priority <= 7 else 6,
        pid=_number(fields.get("_PID"), 0),
    )


def _number(value: object, otherwise: int) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return otherwise
