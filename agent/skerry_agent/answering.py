"""Questions to this node, from its own command line and from the hub: status, why, logs, rollback.

Owns what each means. From the hub only what reads is taken; changing anything is for this machine's own root.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

import msgspec

from skerry_protocol.codec import encode
from skerry_protocol.ids import AppName, instance_name
from skerry_protocol.messages import Ask, AskPart, Override

from .disk import Kept, StateDir
from .journal import JournalError, LogLine, read
from .local import CannotDo, LocalRequest
from .node import Node
from .overrides import NotPossible
from .status import StatusView, of_app

LINES_AT_ONCE = 200
PART_BYTES = 256 << 10
Send = Callable[[AskPart], Awaitable[None]]
View = Callable[[], Awaitable[StatusView]]


class Answering:
    """See the module. `changed` is called after an override was made or taken back."""

    def __init__(self, node: Node, view: View, changed: Callable[[str, Override | None], None]) -> None:
        self._node = node
        self._view = view
        self._changed = changed

    async def ask(self, question: Ask, send: Send) -> None:
        """A question of the hub. Read-only."""
        if question.what == "logs" and question.app is not None:
            await self._send_logs(question, send)
        elif question.what in {"status", "why"}:
            view: object = await self._view()
            if question.what == "why" and question.app is not None:
                view = of_app(await self._view(), question.app)
            await send(AskPart(data=msgspec.json.encode(view), last=True))
        elif question.what == "assignment":
            for part in held(self._node.disk):
                await send(part)
        else:
            await send(AskPart(last=True, error=f"cannot answer {question.what!r}: this node does not know that question"))

    async def _send_logs(self, question: Ask, send: Send) -> None:
        assert question.app is not None
        lines: list[str] = []
        try:
            async for line in self.logs(question.app, question.lines, question.follow):
                lines.append(line)
                if question.follow or len(lines) >= LINES_AT_ONCE:
                    await send(AskPart(lines=tuple(lines)))
                    lines = []
        except (JournalError, CannotDo) as error:
            await send(AskPart(lines=tuple(lines), last=True, error=str(error)))
            return
        await send(AskPart(lines=tuple(lines), last=True))

    async def logs(self, app: AppName, lines: int, follow: bool) -> AsyncIterator[str]:
        """The journal of this node's instances of `app`: one after another, or live with `follow` (the first one's)."""
        services = [one.rendered.service for one in self._node.applied.instances.values() if one.instance.app == app]
        if not services:
            raise CannotDo(f"cannot read logs: no instance of {app} is on this node")
        for service in services:
            async for entry in read(service, lines, follow):
                yield shown(service, entry)

    async def local(self, request: LocalRequest) -> AsyncGenerator[object, None]:
        """A request of this machine's own command line."""
        app = AppName(str(request.args.get("app", "")))
        match request.do:
            case "status":
                yield msgspec.to_builtins(await self._view())
            case "why":
                found = of_app(await self._view(), app)
                if not found:
                    raise CannotDo(f"cannot say why: {app} is not assigned to this node (see 'skerry-agent status')")
                yield msgspec.to_builtins(found)
            case "logs":
                try:
                    async for line in self.logs(app, int(request.args.get("lines", 100)), bool(request.args.get("follow"))):
                        yield line
                except JournalError as error:
                    raise CannotDo(str(error)) from error
            case "rollback":
                for text in roll_back(self._node, app, str(request.args.get("reason", ""))):
                    yield text
                self._changed(f"{app} was rolled back on the node itself", None)
            case "clear":
                gone = self._node.clear(app or None)
                self._changed("the node's own word was taken back", None)
                yield [f"{one.app}: revision {one.revision} may run again" for one in gone]
            case _:
                raise CannotDo(f"cannot do {request.do!r}: this agent does not know that")


def held(disk: StateDir) -> Iterator[AskPart]:
    """The accepted assignment's signed bytes: a hub that lost its state learns from them what it once decided."""
    kept = disk.accepted()
    if not isinstance(kept, Kept):
        yield AskPart(last=True, error=kept.text if kept is not None else "this node accepted no assignment yet")
        return
    data = encode(kept.envelope)
    for start in range(0, len(data), PART_BYTES):
        yield AskPart(data=data[start : start + PART_BYTES], last=start + PART_BYTES >= len(data))


def roll_back(node: Node, app: AppName, reason: str, by: str = "admin") -> list[str]:
    """Put every instance of `app` on this node back to its previous revision. Says what was done; raises CannotDo."""
    ours = [one for one in (node.assignment.instances if node.assignment else ()) if one.app == app]
    if not ours:
        raise CannotDo(f"cannot roll back {app}: it is not assigned to this node (see 'skerry-agent status')")
    told = []
    for instance in ours:
        word = node.roll_back(instance, by, reason or "rolled back on the node", time.time_ns() // 1_000_000)
        if isinstance(word, NotPossible):
            raise CannotDo(word.reason)
        told.append(f"{instance_name(app, instance.number)}: revision {word.instead} instead of {word.revision}")
    return told


def shown(service: str, entry: LogLine) -> str:
    """One line of a log for people: when, what unit, what."""
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(entry.at_us // 1_000_000))
    return f"{at}.{entry.at_us % 1_000_000 // 1000:03d}Z {service.removesuffix('.service').removeprefix('skerry-')} {entry.text}"
