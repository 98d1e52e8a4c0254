"""Real processes, stopped or failed at a step of their own: strace tells their steps, and has the kernel do the rest.

A step is a system call that changes what outlives the process: files and folders, and what is asked of systemd. A
process that is killed dies before that call is made, so everything up to the step before is done and nothing after.
strace counts each call of each thread by itself, so a step is named by its call and that call's number. Where threads
work beside each other it is told to look at one path alone, `only`: then the number is among the calls with that path.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from skerry_hub.lab import Lab, cgroups, leftovers

NAMES = ("mkdir", "rmdir", "unlink", "unlinkat", "symlink", "rename")
FILES = (*NAMES, "fsync")
CONTENT = (*FILES, "write", "fchmod", "chmod", "link", "linkat")
ASKED = "sendmsg"  # with it, and nothing else, an agent speaks to systemd
ACTS = ("StartUnit", "StopUnit", "RestartUnit", "Reload", "SetUnitProperties")
OPENED = ("write", "fsync", "fchmod")  # of a file that is open
LEASE = re.compile(r"skerry-lease-[a-z0-9-]+\.[a-z]+")
WITHIN_S = 20.0

_LINE = re.compile(r"(?P<thread>\d+) +(?P<call>\w+)\((?P<words>.*)")
_NAMES = (
    (r"[0-9a-f]{64}", "DIGEST"),
    (r"[0-9a-f]{20}", "TREE"),
    (r"(open|keep)\d+\.timer", r"\1DEADLINE.timer"),
    (r"(-\d+)-[a-z2-7]{10}", r"\1"),
    (r"\d+-\d+-\d+", "VERSION"),
    (r"(left|right)-\d", "SIDE"),
    (r"skerry-lease-\d+", "skerry-lease-LENGTH"),
    (r"/run/skerry/fence/(\.tmp-)?\d+$", r"/run/skerry/fence/\1LENGTH"),
)


class Step(NamedTuple):
    """The `number`-th time that the process makes this call; `what` is the same for steps of one kind."""

    call: str
    number: int
    what: str

    def __str__(self) -> str:
        return f"{self.call} {self.number}: {self.what}"

    @property
    def kind(self) -> tuple[str, str]:
        return self.call, self.what

    @property
    def is_of_nothing(self) -> bool:
        """Whether it clears a temporary name that nothing has."""
        return self.call == "unlink" and "/.tmp-" in self.what


class Traced:
    """A process that strace holds. `steps` are those that it made until now."""

    def __init__(self, tracer: subprocess.Popen[str], log: Path) -> None:
        self._tracer, self._log = tracer, log

    def died(self, seconds: float = WITHIN_S) -> bool:
        """Waits for the process to come to its end; whether it did."""
        try:
            self._tracer.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    @property
    def dead(self) -> bool:
        """Whether it has come to its end already."""
        return self._tracer.poll() is not None

    def steps(self) -> list[Step]:
        return list(_steps(self._log.read_text(errors="replace").splitlines()))


def _steps(lines: Sequence[str]) -> Iterator[Step]:
    made: Counter[tuple[str, str]] = Counter()
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        thread, call, words = found.groups()
        made[thread, call] += 1
        yield Step(call, made[thread, call], _what(call, words))


def _what(call: str, words: str) -> str:
    if call == ASKED:
        act = next((act for act in ACTS if f"\\0{act}\\0" in words), "asks")
        lease = LEASE.search(words) if act != "asks" else None
        return f"{act} {named(lease[0])}" if lease else act
    if call in {"unlinkat", "rmdir"}:
        return "in a folder that goes"
    opened = re.findall(r"<(/[^>]*)>", words)
    paths = opened if call in OPENED else re.findall(r'"(/[^"]*)"', words) or opened
    return named(paths[-1]) if paths else ""


def named(path: str) -> str:
    """A file's name without what differs from one change to the next: versions, ids and digests."""
    for pattern, instead in _NAMES:
        path = re.sub(pattern, instead, path)
    return path


@contextmanager
def traced(pid: int, log: Path, calls: Sequence[str], *inject: str, only: str = "") -> Iterator[Traced]:
    """Until this ends, or the process does, its `calls` are written to `log`; `inject` is as strace has it.

    What strace does to a process ends with strace.
    """
    rules = [word for one in inject for word in ("-e", f"inject={one}")]
    argv = ["setpriv", "--pdeathsig", "TERM", "--", "strace", "-f", "-y", "-s", "200", "-o", str(log)]
    argv += ["-e", f"trace={','.join(calls)}", "-e", "signal=none", *rules]
    argv += [*(("-P", only) if only else ()), "-p", str(pid)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        try:
            assert "attached" in said, said
            yield Traced(tracer, log)
        finally:
            tracer.terminate()
            tracer.stderr.read()


def killed(step: Step) -> str:
    """For `traced`: the process dies as it comes to this step."""
    return f"{step.call}:signal=KILL:when={step.number}"


def failing(steps: Sequence[Step], since: Step, error: str, calls: Sequence[str] = FILES) -> list[str]:
    """For `traced`: from this of a change's `steps` on every write fails."""
    before = Counter(step.call for step in steps[: steps.index(since)])
    return [f"{call}:error={error}:when={before[call] + 1}+" for call in calls]


def in_path(steps: Sequence[Step]) -> list[Step]:
    """The same, each with its number among the calls with its path."""
    made: Counter[tuple[str, str]] = Counter()
    found = []
    for step in steps:
        made[step.kind] += 1
        found.append(step._replace(number=made[step.kind]))
    return found


def one_of_each(steps: Sequence[Step]) -> list[Step]:
    """The first step of each kind: what comes later of a kind does to another file what the first did to its own."""
    found: dict[tuple[str, str], Step] = {}
    for step in steps:
        found.setdefault(step.kind, step)
    return list(found.values())


def stays_down(lab: Lab, node: str, unit: str) -> None:
    """From now on the unit does not come back by itself: a test says when."""
    folder = f"/run/systemd/system/{unit}.d"
    lines = "[Service]\\nRestart=no"
    script = f"mkdir -p {folder}; printf '{lines}\\n' > {folder}/no.conf; systemctl daemon-reload"
    lab.run(node, ["sh", "-ec", script])


def agent_pid(lab: Lab, node: str) -> int:
    """The agent's main process, as this machine numbers it; 0 where none runs."""
    return cgroup_pid(lab, node, "skerry-agent.service")


def cgroup_pid(lab: Lab, node: str, service: str) -> int:
    """The same of any service of the system's own."""
    root = leftovers.cgroup(lab.paths)
    assert root is not None
    found = cgroups.pids(root / f"{node}/payload/system.slice/{service}")
    return found[0] if found else 0


def process_of(lab: Lab, name: str) -> int:
    """The process of this lab's hub whose program has this name, as this machine numbers it."""
    data = str(lab.hub_data).encode()
    for process in sorted(Path("/proc").iterdir()):
        if not process.name.isdigit():
            continue
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue  # it has just ended
        if name.encode() in words and data in words:
            return int(process.name)
    raise AssertionError(f"no {name} runs")
