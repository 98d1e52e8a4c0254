"""`skerry-agent fence`: kills what outlived its lease, where systemd did not end it. skerry-fence.service runs it.

Owns nothing but a pipe, a timer and its memory of the last deadlines. Order of each turn: the control groups are looked
at, then the records are read, then what `verdict` says is done, then it sleeps until its moment or a word of the
agent's. It asks neither systemd nor the agent anything, and does not end while it works.
"""

from __future__ import annotations

import os
import select
import stat
import sys

from ..notify import notify
from . import killing, records
from .kernel import Timer, boottime_ms, stay_in_memory
from .verdict import Slice, due, judge, slice_name


class Fence:
    """The fence over the records in `folder` and the control groups under `roots`."""

    def __init__(self, folder: str = records.FOLDER, roots: tuple[str, ...] = killing.ROOTS) -> None:
        self._folder, self._roots = folder, roots
        self._deadlines: dict[int, int] = {}
        self._said: set[tuple[Slice, int]] = set()
        self._timer = Timer()
        self._pipe = _pipe(folder)
        self._poll = select.poll()
        self._poll.register(self._timer.fd, select.POLLIN)
        self._poll.register(self._pipe, select.POLLIN)

    def turn(self) -> None:
        """Looks, and kills what is due."""
        folders = {
            one: living
            for one, paths in killing.slices(self._roots).items()
            if (living := [path for path in paths if killing.alive(path)])
        }
        now_ms = boottime_ms()
        kill, look_ms, self._deadlines = judge(
            now_ms, records.read(self._folder), self._deadlines, set(folders)
        )
        for one in kill:
            for path in folders[one]:
                killing.kill(path)
            self._say(one, now_ms)
        self._timer.set(look_ms)

    def _say(self, one: Slice, now_ms: int) -> None:
        """Once for each lease, and after the deed: what hears it may hang, too."""
        late = self._deadlines[one[0]]
        if (one, late) in self._said:
            return
        self._said = {(one, late)}
        say(
            f"killed {slice_name(*one)}: its lease was over {now_ms - late} ms ago, it had to be gone"
            f" {now_ms - due(late, one[1])} ms ago, and systemd had not ended it"
        )

    def sleep(self) -> None:
        """Until the timer's moment, or a word of the agent's."""
        for fd, _ in self._poll.poll():
            try:
                os.read(fd, 4096)
            except BlockingIOError:
                continue  # the timer was set anew between

    def close(self) -> None:
        self._timer.close()
        os.close(self._pipe)


def _pipe(folder: str) -> int:
    """Open for writing too, so that it never ends. The folder is there: systemd made it.

    The one of a fence before will do: where /run takes no write, a fence that comes back must not need one.
    """
    path = f"{folder}/{records.WAKE}"
    if not _is_pipe(path):
        if records.WAKE in records.listed(folder):
            os.unlink(path)  # noqa: PTH108 - pathlib is not worth its memory here
        os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.lstat(path).st_mode)
    except OSError:
        return False


def say(text: str) -> None:
    """To the journal, if it listens: nothing waits for it."""
    try:
        os.write(2, f"{text}\n".encode())
    except OSError:
        return


def main() -> int:
    """Until it is killed. An exit code where it cannot begin."""
    os.set_blocking(2, False)
    try:
        fence = Fence()
    except OSError as error:
        print(f"skerry-agent: cannot guard leases: {error.strerror}", file=sys.stderr)
        return 1
    try:
        stay_in_memory()
    except OSError as error:
        say(f"{error.strerror}; goes on without")
    fence.turn()
    notify("READY=1")
    while True:
        fence.sleep()
        fence.turn()
