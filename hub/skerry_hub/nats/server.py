"""Runs nats-server as a child of the hub: started, watched, started again, and never left behind.

Order: `run()` ends what an earlier hub left over, writes the configuration, starts the child, sets `ready` when the
server says that it listens, waits for its end, and starts it again with back-off until it is cancelled. The child gets
SIGTERM by the kernel when the hub dies; the pid file is the second line, for a hub whose child outlived it.
Must never signal a process that it has not recognised as its own nats-server.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import random
import re
import select
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

from ..files import write_file
from .config import NatsServerError, Settings, check_version, config_text, find_program

log = logging.getLogger(__name__)

STOP_WITHIN_S = 10.0
READY_WITHIN_S = 60.0
ANEW_EVERY_S = 600.0
BACK_OFF_LEAST_S = 0.2
BACK_OFF_MOST_S = 30.0
PR_SET_PDEATHSIG = 1
LINE_MAX = 16_384
LINES_MOST = 20
LINES_WITHIN_S = 60.0

_LISTENS = re.compile(rb"Listening for client connections on (\S+):(\d+)\s*$")
_READY = b"Server is ready"
_UNSTORED = b"JetStream failed to store a msg"
_NO_NEWS = b'"TLS Handshake First"'
_LOUD = re.compile(rb"\[(WRN|ERR|FTL)\] (.*)|^(nats-server: .*)")


def nothing() -> None:
    """For whoever has no store behind it."""


class NatsServer:
    """One supervised nats-server. `ready` is set while it takes connections; `port` is where.

    `mesh_account` is asked at each start, so that the server begins with the newest revocations. `unstored` is called
    where it complains that it could not store a message.
    """

    def __init__(
        self, settings: Settings, mesh_account: Callable[[], str], unstored: Callable[[], None] = nothing
    ) -> None:
        self.settings = settings
        self.mesh_account = mesh_account
        self.unstored = unstored
        self._child: asyncio.subprocess.Process | None = None
        self._not_before = 0.0
        self.ready = asyncio.Event()
        self.port = settings.listen.port
        self.pid: int | None = None
        self.starts = 0
        self.trouble: str | None = None
        self._words: deque[str] = deque(maxlen=5)
        self._quiet_until = 0.0
        self._said = 0
        self._jitter = random.SystemRandom()

    @property
    def url(self) -> str:
        """Where clients on this machine reach it."""
        host = self.settings.listen.host
        here = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        return f"tls://{here}:{self.port}"

    def start_anew(self) -> None:
        """Ends the child, which cannot use its store: it is started again. Seldom, because its disk may be full."""
        now = asyncio.get_running_loop().time()
        if self._child is not None and now >= self._not_before:
            self._not_before = now + ANEW_EVERY_S
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()

    def check(self) -> str:
        """The version that will run; raises NatsServerError where it cannot. Call before `run`."""
        return check_version(find_program(self.settings.program))

    async def run(self) -> None:
        """Keeps the server up until cancelled, then stops it within STOP_WITHIN_S."""
        program = find_program(self.settings.program)
        await asyncio.to_thread(check_version, program)
        await asyncio.to_thread(end_left_over, self.settings.pid_file, self.settings.config_file)
        tries = 0
        while True:
            was_ready = await self._once(program)
            tries = 0 if was_ready else tries + 1
            self.trouble = f"nats-server ended: {' / '.join(self._words) or 'it gave no reason'}"
            log.error("%s (it is started again)", self.trouble)
            most = min(BACK_OFF_MOST_S, BACK_OFF_LEAST_S * 2**tries)
            await asyncio.sleep(self._jitter.uniform(most / 2, most))

    async def _once(self, program: Path) -> bool:
        """From start to end of one process. Whether it ever became ready."""
        try:
            child = await self._start(program)
        except OSError as error:
            self._words.append(f"cannot start {program}: {error}")
            return False
        self._child = child
        try:
            return await self._follow(child)
        finally:
            self._child = None
            self.ready.clear()
            self.pid = None
            await _to_its_end(stop(child))

    async def _start(self, program: Path) -> asyncio.subprocess.Process:
        settings = self.settings
        settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(settings.config_file, config_text(settings, self.mesh_account()).encode())
        self._words.clear()
        child = await asyncio.create_subprocess_exec(
            program, "-c", settings.config_file,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            limit=LINE_MAX, preexec_fn=die_with(os.getpid()), start_new_session=True,
        )  # fmt: skip
        self.pid = child.pid
        self.starts += 1
        return child

    async def _follow(self, child: asyncio.subprocess.Process) -> bool:
        """Reads the server's log to its end: when it is ready, on which port, and what it complains of."""
        assert child.stderr is not None
        was_ready = False
        try:
            async with asyncio.timeout(READY_WITHIN_S) as deadline:
                async for line in _lines(child.stderr):
                    self._hear(line)
                    if _READY in line:
                        was_ready = True
                        self.trouble = None
                        self.ready.set()
                        deadline.reschedule(None)
        except TimeoutError:
            self._words.append(f"it was not ready within {READY_WITHIN_S:.0f} s")
        return was_ready

    def _hear(self, line: bytes) -> None:
        if listens := _LISTENS.search(line):
            self.port = int(listens[2])
        elif _NO_NEWS not in line and (loud := _LOUD.search(line)):
            text = (loud[2] or loud[3]).decode(errors="replace").strip()[:500]
            self._words.append(text)
            self._say(text)
            if _UNSTORED in line:
                self.unstored()

    def _say(self, text: str) -> None:
        """Logs what the server says, but not more than LINES_MOST in a while: a client can make it say things."""
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            self._quiet_until, self._said = now + LINES_WITHIN_S, 0
        self._said += 1
        if self._said < LINES_MOST:
            log.warning("nats-server: %s", text)
        elif self._said == LINES_MOST:
            log.warning("nats-server: %s (more is left out for up to %.0f s)", text, LINES_WITHIN_S)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The stream's lines; one that is longer than the buffer comes in no piece at all."""
    while True:
        try:
            line = await stream.readline()
        except ValueError:
            continue
        if not line:
            return
        yield line


def die_with(parent: int) -> Callable[[], None]:
    """What the child does before it becomes nats-server: asks the kernel for SIGTERM at the hub's death."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # the hub died before the kernel knew

    return before_exec


async def _to_its_end(work: Coroutine[None, None, None]) -> None:
    """Also where whoever waits is cancelled, and more than once: else the child would outlive its task."""
    task, cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError


async def stop(child: asyncio.subprocess.Process) -> None:
    """Ends the child: asks first, so that it closes its store in order, and kills it when it takes too long."""
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await _drained(child)
        except TimeoutError:
            child.kill()
            await _drained(child)


async def _drained(child: asyncio.subprocess.Process) -> None:
    """Waits for the end while reading on, because a full pipe would hold the child up."""
    if child.stderr is not None:
        async for _ in _lines(child.stderr):
            pass
    await child.wait()
    await asyncio.sleep(0)  # its transport is closed by the loop's next turn, which may have been the last


def end_left_over(pid_file: Path, config_file: Path) -> bool:
    """Ends the nats-server that an earlier hub left running on this folder. Whether there was one.

    Raises NatsServerError where it does not end.
    """
    pid = _pid_in(pid_file)
    if pid is None:
        return False
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False  # gone
    try:
        # With the handle open the number cannot come to mean another process between the look and the signal.
        if not is_ours(pid, config_file):
            return False
        log.warning("ending nats-server %d, which an earlier hub left over", pid)
        for word, seconds in ((signal.SIGTERM, STOP_WITHIN_S), (signal.SIGKILL, STOP_WITHIN_S)):
            signal.pidfd_send_signal(handle, word)
            if select.select([handle], [], [], seconds)[0]:
                return True
    except ProcessLookupError:
        return True
    finally:
        os.close(handle)
    raise NatsServerError(
        f"cannot start nats-server: process {pid}, left over, does not end (reboot the machine)"
    )


def _pid_in(pid_file: Path) -> int | None:
    try:
        text = pid_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,8}", text) else None


def is_ours(pid: int, config_file: Path) -> bool:
    """Whether the process is a nats-server that runs with exactly this configuration file."""
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return (
        len(argv) >= 3
        and Path(os.fsdecode(argv[0])).name == "nats-server"
        and argv[2] == os.fsencode(config_file)
    )
