"""Questions to this node, from its own command line and from the hub: status, why, logs, rollback.

Owns what each means. From the hub only what reads is taken; changing anything is for this machine's own root.
"""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing

import msgspec

from skerry_protocol.codec import encode
from skerry_protocol.ids import AppName, instance_name
from skerry_protocol.messages import Ask, AskPart, Override

from ..assignments.records import OVERRIDES_RECORD, damaged
from ..disk.disk import DiskError, Kept, StateDir
from ..switch.node import Node
from ..switch.overrides import NotPossible
from .journal import JournalError, LogLine, read
from .local import CannotDo, LocalRequest
from .merging import merged, one_by_one, with_pauses
from .status import StatusView, of_app

LINES_AT_ONCE = 200
PART_BYTES = 256 << 10
DOCTOR_S = 20.0
ALIVE_S = 5.0  # by an empty part the hub hears that this node is there, and this node whether anybody listens
Send = Callable[[AskPart], Awaitable[None]]
View = Callable[[], Awaitable[StatusView]]


class Answering:
    """See the module. `changed` is called after an override was made or taken back."""

    def __init__(
        self,
        node: Node,
        view: View,
        changed: Callable[[str, Override | None], None],
        alive_s: float = ALIVE_S,
    ) -> None:
        self._node = node
        self._alive_s = alive_s
        self._view = view
        self._changed = changed
        self._one_doctor = asyncio.Lock()

    async def ask(self, question: Ask, send: Send) -> None:
        """A question of the hub. Read-only."""
        if question.what == "logs" and question.app is not None:
            await self._send_logs(question, send)
        elif question.what in {"status", "why"}:
            view = await self._view()
            wanted = question.app if question.what == "why" else None
            await send(AskPart(data=msgspec.json.encode(of_app(view, wanted) if wanted else view), last=True))
        elif question.what == "doctor":
            await self._send_findings(send)
        elif question.what == "assignment":
            for part in held(self._node.disk):
                await send(part)
        else:
            error = f"cannot answer {question.what!r}: this node does not know that question"
            await send(AskPart(last=True, error=error))

    async def _send_findings(self, send: Send) -> None:
        """By a process of its own, one at a time: it loads much that an agent at rest does without."""
        looking = asyncio.create_task(self._doctor())
        try:
            while not looking.done():
                await send(AskPart())
                await asyncio.wait({looking}, timeout=self._alive_s)
            await send(looking.result())
        finally:
            looking.cancel()

    async def _doctor(self) -> AskPart:
        async with self._one_doctor:
            try:
                return AskPart(data=await asyncio.wait_for(_doctors_word(), DOCTOR_S), last=True)
            except (OSError, TimeoutError) as error:
                text = f"cannot look at this node: {str(error) or 'the doctor did not end in time'}"
                return AskPart(last=True, error=text)

    async def _send_logs(self, question: Ask, send: Send) -> None:
        assert question.app is not None
        lines: list[str] = []
        size = 0
        try:
            stream = self.logs(question.app, question.lines, question.follow)
            if question.follow:
                await _send_live(stream, send, self._alive_s)
                return
            async with aclosing(stream) as every:
                async for line in every:
                    lines.append(line)
                    size += len(line.encode())
                    if len(lines) >= LINES_AT_ONCE or size >= PART_BYTES:
                        await send(AskPart(lines=tuple(lines)))
                        lines, size = [], 0
        except (JournalError, CannotDo) as error:
            await send(AskPart(lines=tuple(lines), last=True, error=str(error)))
            return
        await send(AskPart(lines=tuple(lines), last=True))

    async def logs(self, app: AppName, lines: int, follow: bool) -> AsyncGenerator[str, None]:
        """The journal of this node's instances of `app`: one after another, or with `follow` all of them, live."""
        services = [
            one.rendered.service for one in self._node.applied.instances.values() if one.instance.app == app
        ]
        if not services:
            raise CannotDo(f"cannot read logs: no instance of {app} is on this node")
        readers = [_shown_lines(service, lines, follow) for service in services]
        async with aclosing(merged(readers) if follow else one_by_one(readers)) as every:
            async for line in every:
                yield line

    async def local(self, request: LocalRequest) -> AsyncGenerator[object, None]:
        """A request of this machine's own command line."""
        app = AppName(str(request.args.get("app", "")))
        match request.do:
            case "status":
                yield msgspec.to_builtins(await self._view())
            case "why":
                found = of_app(await self._view(), app)
                if not found:
                    raise CannotDo(
                        f"cannot say why: {app} is not assigned to this node (see 'skerry-agent status')"
                    )
                yield msgspec.to_builtins(found)
            case "logs":
                try:
                    lines, follow = int(request.args.get("lines", 100)), bool(request.args.get("follow"))
                    async with aclosing(self.logs(app, lines, follow)) as every:
                        async for line in every:
                            yield line
                except JournalError as error:
                    raise CannotDo(str(error)) from error
            case "rollback":
                told = roll_back(self._node, app, str(request.args.get("reason", "")))
                self._changed(f"{app} was rolled back on the node itself", None)
                for text in told:
                    yield text
            case "clear":
                told = clear(self._node, app)
                self._changed("the node's own word was taken back", None)
                for text in told:
                    yield text
            case _:
                raise CannotDo(f"cannot do {request.do!r}: this agent does not know that")


async def _send_live(stream: AsyncGenerator[str, None], send: Send, alive_s: float) -> None:
    """Each line as it comes, and an empty part where none comes. Ends when nobody takes them any more."""
    async with aclosing(with_pauses(stream, alive_s)) as every:
        async for line in every:
            await send(AskPart() if line is None else AskPart(lines=(line,)))
    await send(AskPart(last=True))


async def _doctors_word() -> bytes:
    """What `skerry-agent doctor --json` prints. Raises OSError."""
    argv = [sys.executable, "-m", "skerry_agent.cli", "doctor", "--json"]
    process = await asyncio.create_subprocess_exec(*argv, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    try:
        found, faults = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if not found.startswith(b"["):
        raise OSError(faults.decode("utf-8", "replace").strip().rpartition("\n")[2] or "it says nothing")
    return found


def held(disk: StateDir) -> Iterator[AskPart]:
    """The accepted assignment's signed bytes: a hub that lost its state learns from them what it once decided."""
    kept = disk.accepted()
    if not isinstance(kept, Kept):
        yield AskPart(
            last=True, error=kept.text if kept is not None else "this node accepted no assignment yet"
        )
        return
    data = encode(kept.envelope)
    for start in range(0, len(data), PART_BYTES):
        yield AskPart(data=data[start : start + PART_BYTES], last=start + PART_BYTES >= len(data))


def roll_back(node: Node, app: AppName, reason: str, by: str = "admin") -> list[str]:
    """Put every instance of `app` on this node back to its previous revision. Says what was done; raises CannotDo."""
    ours = [one for one in (node.assignment.instances if node.assignment else ()) if one.app == app]
    if not ours:
        raise CannotDo(f"cannot roll back {app}: it is not assigned to this node (see 'skerry-agent status')")
    told, faults = [], []
    for instance in ours:
        try:
            word = node.roll_back(
                instance, by, reason or "rolled back on the node", time.time_ns() // 1_000_000
            )
        except DiskError as error:
            raise CannotDo(f"cannot roll back {app}: {error}") from error
        if isinstance(word, NotPossible):
            faults.append(word.reason)
        else:
            told.append(
                f"{instance_name(app, instance.number)}: revision {word.instead} instead of {word.revision}"
            )
    if not told:
        raise CannotDo(faults[0])
    return [*told, *faults]


def clear(node: Node, app: str) -> list[str]:
    """Take back this node's word on `app`, or, where that is empty, on all. Says what was done; raises CannotDo."""
    lost = damaged(OVERRIDES_RECORD) in node.conditions
    try:
        gone = node.clear(AppName(app) if app else None)
    except DiskError as error:
        raise CannotDo(f"cannot take back this node's word: {error}") from error
    if not gone and lost:
        return ["the damaged record of this node's word is made anew: it refuses no revision"]
    if not gone:
        what = f" on {app}" if app else ""
        raise CannotDo(
            f"cannot take back this node's word{what}: it has given none (see 'skerry-agent status')"
        )
    return [f"{one.app}: revision {one.revision} may run again" for one in gone]


def shown(service: str, entry: LogLine) -> str:
    """One line of a log for people: when, what unit, what."""
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(entry.at_us // 1_000_000))
    name = service.removesuffix(".service").removeprefix("skerry-")
    return f"{at}.{entry.at_us % 1_000_000 // 1000:03d}Z {name} {entry.text}"


async def _shown_lines(service: str, lines: int, follow: bool) -> AsyncGenerator[str, None]:
    async with aclosing(read(service, lines, follow)) as entries:
        async for entry in entries:
            yield shown(service, entry)
