"""kill -9 of the agent while an archive is fetched, verified, unpacked and linked: nothing half unpacked ever runs.

One step of each kind is taken, and every other time the app has changed again before the next agent is there.
SKERRY_EVERY_STEP=1 takes each kind both ways, and the first, the middle and the last of it.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import tarfile
from collections import Counter

import pytest

from tests.lab.steps import CONTENT, Step, agent_pid, in_path, killed, stays_down, traced
from tests.lab.system.test_agent_killed import AGENT, TROUBLE
from tests.lab.system.world import World

NODES = 1
NODE = "n1"
STATE = "/var/lib/skerry"
DOWNLOADS, ARTIFACTS = f"{STATE}/downloads", f"{STATE}/artifacts"
LINK = ".tmp-current"
EVERY = bool(os.environ.get("SKERRY_EVERY_STEP"))
# Of two paths strace looks at the first.
FROM = {
    ("rename", "DIGEST.tar"): f"{DOWNLOADS}/DIGEST.part",
    ("rename", "DIGEST"): f"{ARTIFACTS}/.tmp-unpack-DIGEST",
}
BLOB = 600_000  # comes in more than one piece
SERVE = b"""#!/bin/sh
test "$(cat data/blob | wc -c)" = 600000 && test "$(cat last twin link)" = whole1whole2whole2 || echo BROKEN
exec sleep "$1"
"""
APPS = """
[app.still]
run = ["sleep", "inf"]
availability = "best-effort"
[app.tool]
run = ["./bin/serve", "{word}"]
artifact = "tool{number}.tar.gz"
availability = "best-effort"
"""


class Tool:
    """An app whose archive is another one with each change."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.number = 0
        self.shas: list[str] = []
        self.pack()
        self.begin()
        self.settled()
        self.stay = self.world.until("what stays runs", self.staying)

    def pack(self) -> None:
        """Makes the next one, of which nobody hears yet."""
        self.number += 1
        path = self.world.folder / f"tool{self.number}.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            _folder(tar, "data")
            _file(tar, "bin/serve", SERVE, 0o755)
            _file(tar, "data/blob", random.Random(self.number).randbytes(BLOB))
            _file(tar, "last", b"whole1")
            _file(tar, "first", b"whole2")
            _link(tar, "twin", tarfile.LNKTYPE, "first")
            _link(tar, "link", tarfile.SYMTYPE, "first")
        self.shas.append(hashlib.sha256(path.read_bytes()).hexdigest())

    def begin(self) -> None:
        """Asks for it, and waits for nothing."""
        self.world.begin(APPS.format(word=self._word(), number=self.number))

    def _word(self) -> str:
        return str(1_000_000 + self.number)

    def settled(self) -> None:
        """The newest runs, and hub and node agree that it is applied."""
        self.world.until("the newest runs", self._newest_runs, 30)
        self.world.until(f"change {self.number} is applied", self._is_applied, 30)

    def _is_applied(self) -> bool:
        heard = self.world.hub_node(NODE)
        return heard.accepted == heard.applied == heard.newest

    def staying(self) -> str | None:
        """The run of what no change touches."""
        return self.world.running().get((NODE, "still-1"))

    def check(self) -> None:
        """The newest runs, from a folder that is whole, as everything is that lies there."""
        assert self.staying() == self.stay
        self.world.until("what came of downloads is gone", lambda: not self.listed(DOWNLOADS), 5)
        self.world.until("old ones are gone", lambda: self._is_tidy(self.listed(ARTIFACTS)), 5)
        assert set(self.contents().values()) == {WHOLE}

    def _newest_runs(self) -> bool:
        """Once its script has come to the last line."""
        tool = self.world.unit(NODE, "tool-1")
        command = self.world.run(NODE, "cat", f"/proc/{tool.pid}/cmdline", check=False).stdout
        return tool.up and command.split("\0")[:2] == ["sleep", self._word()]

    def _is_tidy(self, there: list[str]) -> bool:
        """At most those of the last three assignments, and of the revision before."""
        return set(there) <= set(self.shas) and self.shas[-1] in there and len(there) <= 4

    def listed(self, folder: str) -> list[str]:
        return self.world.text(NODE, "sh", "-c", f"ls -A {folder}").split()

    def contents(self) -> dict[str, str]:
        """What each artifact holds: kinds, modes, sizes and names."""
        text = self.world.text(NODE, "find", ARTIFACTS, "-mindepth", "2", "-printf", "%P %y %m %s\n")
        found: dict[str, list[str]] = {}
        for line in text.splitlines():
            path, kind, mode, size = line.split()
            sha, _, name = path.partition("/")
            found.setdefault(sha, []).append(f"{name} {kind} {mode}" + (f" {size}" if kind == "f" else ""))
        return {sha: "\n".join(sorted(lines)) for sha, lines in found.items()}


WHOLE = f"""bin d 555
bin/serve f 555 {len(SERVE)}
data d 555
data/blob f 444 600000
first f 444 6
last f 444 6
link l 777
twin f 444 6"""


def _file(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


def _folder(tar: tarfile.TarFile, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    tar.addfile(info)


def _link(tar: tarfile.TarFile, name: str, kind: bytes, to: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    tar.addfile(info)


@pytest.fixture(scope="module")
def tool(mesh_of_file: World) -> Tool:
    stays_down(mesh_of_file.lab, NODE, AGENT)
    return Tool(mesh_of_file)


def test_an_agent_that_is_killed_while_it_unpacks_goes_on_and_runs_nothing_half_unpacked(
    world: World, tool: Tool
) -> None:
    tool.pack()
    with traced(agent_pid(world.lab, NODE), world.folder / "steps", CONTENT) as agent:
        tool.begin()
        tool.settled()
        steps = worth_it(agent.steps())
    tool.check()
    assert len({step.kind for step in steps}) >= 14, steps
    for turn, step in enumerate(steps):
        for overtaken in (False, True) if EVERY else (turn % 2 == 1,):
            dies_and_goes_on(tool, step, overtaken)
            assert not {event.code for event in world.events()} & TROUBLE, f"killed at {step}"
    print(f"killed at {len(steps)} steps")
    said = world.text(NODE, "journalctl", "-o", "cat", "-u", "skerry-tool-1")
    assert "BROKEN" not in said


def worth_it(steps: list[Step]) -> list[Step]:
    """Of each kind the one in the middle: of a download, say, half of it is there then."""
    counted = in_path([step for step in steps if is_of_an_archive(step)])
    kinds = Counter(step.kind for step in counted)
    found = []
    for step in counted:
        of_kind = kinds[step.kind]
        if step.number in ({1, (of_kind + 1) // 2, of_kind} if EVERY else {(of_kind + 1) // 2}):
            found.append(step)
    return found


def is_of_an_archive(step: Step) -> bool:
    """Not what clears an old one away: that is as with everything else."""
    if step.call == "symlink" and step.what.endswith(LINK):
        return True
    ours = step.what.startswith((f"{DOWNLOADS}/DIGEST", f"{ARTIFACTS}/DIGEST", f"{ARTIFACTS}/.tmp-unpack-"))
    return (ours or step.what == ARTIFACTS) and (EVERY or step.call != "fsync" or "/DIGEST." in step.what)


def dies_and_goes_on(tool: Tool, step: Step, overtaken: bool) -> None:
    """`overtaken`: there is another archive before the agent is back."""
    world = tool.world
    tool.pack()
    only = FROM.get((step.call, step.what.rpartition("/")[2]), step.what).replace("DIGEST", tool.shas[-1])
    if step.what.endswith(LINK):  # no thread makes a second link but the one that leads to what was unpacked
        only, step = "", step._replace(number=2)
    try:
        pid = agent_pid(world.lab, NODE)
        with traced(pid, world.folder / "kill", (step.call,), killed(step), only=only) as agent:
            tool.begin()
            assert agent.died(), "it was not met"
        assert tool.staying() == tool.stay
        if overtaken:
            tool.pack()
            tool.begin()
        world.systemctl(NODE, "start", AGENT)
        tool.settled()
        tool.check()
    except AssertionError as error:
        said = world.text(NODE, "journalctl", "-n", "12", "-o", "short-monotonic", "-u", "skerry-tool-1")
        how = ", then overtaken" if overtaken else ""
        raise AssertionError(f"killed at {step}{how}: {error}\n{said}") from error
