"""The server's half of the simulated NATS: who hears a subject, and JetStream's two kinds of stream.

As much as Skerry leans on, held to the real one by `nats_conformance`. What was acknowledged survives `kill`, but for
what the real one may forget too: the ids of messages that are not stored any more, and the newest messages of a stream
that need not be on the disk yet. Who may say what is not checked here.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from nats.js.api import ConsumerConfig, DiscardPolicy, PersistMode, RetentionPolicy, StreamConfig

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_STREAM = "Nats-Expected-Stream"
MSG_ID = "Nats-Msg-Id"
DIRECT_GET = "$JS.API.DIRECT.GET."
NO_RESPONDERS = {"Status": "503"}
NOT_FOUND = {"Status": "404"}
WINDOW_S = 120.0  # how long ids are remembered where the stream does not say
UNWRITTEN_S = 1.0  # how long a message may be in memory alone, where the stream says that it may
Headers = dict[str, str]


class Connection(Protocol):
    """What the server knows of a client."""

    def hears(self, subject: str) -> bool: ...

    def send(self, subject: str, data: bytes, reply: str, headers: Headers | None) -> None:
        """Over the wire to this client."""

    def lose(self) -> None: ...


class Refused(Exception):
    """JetStream does not store a message."""

    def __init__(self, err_code: int, text: str) -> None:
        self.error = {"code": 400, "err_code": err_code, "description": text}


@dataclass
class Consumer:
    """Who takes a work queue's messages. `due`: what is out with somebody, and when it comes again."""

    config: ConsumerConfig
    due: dict[int, float] = field(default_factory=dict)
    following: int = 1  # nothing from here on was given to anybody

    def take(self, stored: dict[int, tuple[str, bytes]], count: int, now: float) -> list[int]:
        """The next messages: first what comes again, then new ones."""
        again = [seq for seq, at in sorted(self.due.items(), key=lambda one: one[1]) if at <= now]
        room = max(0, (self.config.max_ack_pending or 1_000) - len(self.due))
        new = [seq for seq in stored if seq >= self.following][:room]
        chosen = (again + new)[:count]
        for seq in chosen:
            self.due[seq] = now + (self.config.ack_wait or 30.0)
            self.following = max(self.following, seq + 1)
        return chosen


@dataclass
class Stream:
    """Messages by subject (`last` only), or a queue until they are taken."""

    config: StreamConfig
    last: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    queue: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    seq: int = 0
    ids: dict[str, tuple[int, float]] = field(default_factory=dict)
    consumers: dict[str, Consumer] = field(default_factory=dict)
    unwritten: list[tuple[float, str, tuple[int, bytes] | None]] = field(default_factory=list)

    @property
    def ordered(self) -> bool:
        """Whether it keeps every message until it is taken."""
        return self.config.retention == RetentionPolicy.WORK_QUEUE

    def captures(self, subject: str) -> bool:
        """Whether a message on this subject is stored here."""
        return any(fits(pattern, subject) for pattern in self.config.subjects or ())

    def store(self, subject: str, data: bytes, headers: Headers, now: float) -> dict[str, object]:
        """Stores it. The acknowledgement. Raises Refused."""
        name = self.config.name
        if headers.get(EXPECTED_STREAM, name) != name:
            raise Refused(10060, "expected stream does not match")
        known = headers.get(MSG_ID, "")
        before, at = self.ids.get(known, (0, -1e9))
        if known and now - at < (self.config.duplicate_window or WINDOW_S):
            return {"stream": name, "seq": before, "duplicate": True}
        self._admit(subject, headers)
        self.seq += 1
        if known:
            self.ids[known] = (self.seq, now)
        if self.ordered:
            self.queue[self.seq] = (subject, data)
        else:
            self._note_unwritten(subject, now)
            self.last[subject] = (self.seq, data)
        return {"stream": name, "seq": self.seq}

    def _admit(self, subject: str, headers: Headers) -> None:
        """Raises Refused."""
        last = self.last.get(subject, (0, b""))[0]
        if headers.get(EXPECTED, str(last)) != str(last):
            raise Refused(10071, f"wrong last sequence: {last}")
        if self.ordered and self.config.discard == DiscardPolicy.NEW:
            kept = sum(1 for other, _ in self.queue.values() if other == subject)
            if kept >= (self.config.max_msgs_per_subject or kept + 1):
                raise Refused(10077, "maximum messages per subject exceeded")

    def _note_unwritten(self, subject: str, now: float) -> None:
        if self.config.persist_mode == PersistMode.ASYNC:
            self.unwritten = [one for one in self.unwritten if now - one[0] < UNWRITTEN_S]
            self.unwritten.append((now, subject, self.last.get(subject)))

    def recover(self, now: float) -> None:
        """As a server does that was killed and starts: what was not written is as it was before, and it knows the ids
        of what it stores."""
        for at, subject, before in reversed(self.unwritten):
            if now - at < UNWRITTEN_S:
                self.last.pop(subject)
                self.last |= {} if before is None else {subject: before}
        self.unwritten.clear()
        self.ids = {known: one for known, one in self.ids.items() if one[0] in self.queue}


class Server:
    """One nats-server. `up` False: nobody is connected. `more` is set when a fetch may find something else."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.up = True
        self.streams: dict[str, Stream] = {}
        self.clients: dict[Connection, None] = {}
        self.more = asyncio.Event()
        self.numbers = count(1)

    def kill(self) -> None:
        """As by SIGKILL."""
        self.up = False
        for client in tuple(self.clients):
            client.lose()
        for stream in self.streams.values():
            stream.recover(self.loop.time())

    def start(self) -> None:
        """It listens again."""
        self.up = True

    def wipe(self) -> None:
        """The store is gone."""
        self.streams.clear()

    def route(self, subject: str, data: bytes, reply: str, headers: Headers) -> None:
        """A message has come from a client."""
        if not self.up:
            return
        if subject.startswith(DIRECT_GET):
            self._direct_get(subject.removeprefix(DIRECT_GET), reply)
            return
        stored = next((one for one in self.streams.values() if one.captures(subject)), None)
        if stored is not None:
            self._store(stored, subject, data, reply, headers)
        heard = self._spread(subject, data, reply, headers or None)
        if reply and stored is None and not heard:
            self._spread(reply, b"", "", NO_RESPONDERS)

    def _spread(self, subject: str, data: bytes, reply: str, headers: Headers | None = None) -> bool:
        heard = False
        for client in tuple(self.clients):
            if client.hears(subject):
                heard = True
                client.send(subject, data, reply, headers)
        return heard

    def _store(self, stream: Stream, subject: str, data: bytes, reply: str, headers: Headers) -> None:
        try:
            answer = stream.store(subject, data, headers, self.loop.time())
        except Refused as refused:
            answer = {"error": refused.error}
        self.more.set()
        if reply:
            self._spread(reply, json.dumps(answer).encode(), "")

    def _direct_get(self, rest: str, reply: str) -> None:
        name, _, subject = rest.partition(".")
        if name not in self.streams:
            self._spread(reply, b"", "", NO_RESPONDERS)
            return
        found = self.streams[name].last.get(subject)
        if found is None:
            self._spread(reply, b"", "", NOT_FOUND)
        else:
            self._spread(reply, found[1], "", {"Nats-Sequence": str(found[0])})


def fits(pattern: str, subject: str) -> bool:
    """NATS's wildcards."""
    if pattern == subject:
        return True
    want, have = pattern.split("."), subject.split(".")
    for index, word in enumerate(want):
        if word == ">":
            return len(have) > index
        if index >= len(have) or word not in {"*", have[index]}:
            return False
    return len(want) == len(have)
