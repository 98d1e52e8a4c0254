"""Boot with files missing or changed: they are put back, what could not start is started, nothing else is touched."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from skerry_agent.boot import is_whole, put_back
from skerry_agent.disk.disk import StateDir
from skerry_agent.switch.target import Running, State
from skerry_agent.systemd.fake import FakeSystemd
from skerry_agent.units.policy import Policy
from skerry_agent.units.render import NodeFacts, Paths, Rendered, render
from skerry_agent.units.restore import Restored, restore
from skerry_agent.units.unitfiles import UnitFiles
from skerry_protocol.app import App
from skerry_protocol.messages import AppRevision

from ..builders import an_app, an_instance, fenced

pytestmark = pytest.mark.anyio


class Node:
    """A node that was switched to two apps and then loses power: `web`, and `db` under a lease."""

    def __init__(self, folder: Path) -> None:
        self.paths = Paths(
            str(folder / "units"), str(folder / "state/instances"), str(folder / "state/artifacts")
        )
        self.units = folder / "units"
        self.units.mkdir()
        self.instances = folder / "state/instances"
        self.state_dir = StateDir(folder / "state")
        self.state_dir.prepare()
        self.systemd = FakeSystemd([self.units])
        self.running = [self.rendered(app) for app in (an_app(files={"motd": "hello"}), fenced("db"))]
        self.state_dir.apply(State(None, {one.instance.id: one for one in self.running}))
        (self.units / "skerry.target").write_text("[Unit]\n")
        (self.units / "multi-user.target.wants").mkdir()
        (self.units / "multi-user.target.wants/skerry.target").symlink_to("../skerry.target")

    def rendered(self, app: App) -> Running:
        instance = an_instance(app)
        made = render(instance, app, Policy(), self.paths, NodeFacts("n1", "x86_64"))
        assert isinstance(made, Rendered), made
        return Running(instance, AppRevision(1, app), made)

    async def restore(self) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
        whole = is_whole(self.state_dir.root, self.paths)
        found = await restore(self.state_dir, self.systemd, self.paths)
        assert whole is (found == Restored())  # the brief look finds whatever there is to do
        return found.put_back, found.started, found.problems

    async def is_up(self, unit: str) -> bool:
        shown = await self.systemd.show([unit])
        return isinstance(shown, tuple) and shown[0].up


@pytest.fixture
async def node(tmp_path: Path) -> Node:
    made = Node(tmp_path)
    await made.restore()
    made.systemd.reboot()
    made.systemd.calls.clear()
    return made


WEB, DB = "skerry-web-0.service", "skerry-db-0.service"


async def test_everything_is_written_where_nothing_is(tmp_path: Path) -> None:
    node = Node(tmp_path)
    put_back, started, problems = await node.restore()
    assert (put_back, problems) == (10, ())
    assert started == (WEB,)
    assert problems == ()
    assert not await node.is_up(DB)


async def test_a_whole_node_is_left_alone(node: Node) -> None:
    assert await node.is_up(WEB)
    node.systemd.unreachable = True  # nor is systemd asked, which is busy with the boot
    assert await node.restore() == (0, (), ())
    assert node.systemd.calls == []


async def test_where_nothing_was_ever_switched_to_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert put_back(tmp_path / "nothing") == 0
    StateDir(tmp_path).prepare()
    assert put_back(tmp_path) == 0


async def test_beside_another_it_does_nothing_and_says_so(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    with node.state_dir.locked():
        assert put_back(node.state_dir.root) == 1
    assert "another skerry-agent works with it" in capsys.readouterr().err


def gone(path: Path) -> None:
    path.unlink()


def changed(path: Path) -> None:
    path.write_text("[Service]\nExecStart=/bin/else\n")


@pytest.mark.parametrize("damage", [gone, changed])
@pytest.mark.parametrize("name", [WEB, DB])
async def test_a_unit_file_is_put_back(node: Node, damage: Callable[[Path], None], name: str) -> None:
    text = (node.units / name).read_text()
    damage(node.units / name)
    node.systemd.reboot()
    put_back, _, problems = await node.restore()
    assert (put_back, problems) == (1, ())
    assert (node.units / name).read_text() == text
    assert await node.is_up(WEB)
    assert not await node.is_up(DB)
    assert not any(call.startswith(("stop", "restart")) for call in node.systemd.calls)


async def test_a_link_is_put_back(node: Node) -> None:
    (node.units / f"skerry.target.wants/{WEB}").unlink()
    node.systemd.reboot()
    assert not await node.is_up(WEB)
    assert await node.restore() == (1, (WEB,), ())
    assert await node.is_up(WEB)


async def test_damaged_content_is_written_anew(node: Node) -> None:
    one = node.running[0]
    motd = node.instances / one.instance.id / one.rendered.tree_name / "files/motd"
    motd.chmod(0o600)
    motd.write_text("hacked")
    put_back, _, problems = await node.restore()
    assert (put_back, problems) == (1, ())
    assert motd.read_text() == "hello"
    assert motd.stat().st_mode & 0o777 == 0o444


async def test_a_damaged_record_changes_nothing(node: Node) -> None:
    (node.units / WEB).unlink()
    for name in ("applied", "applied.twin"):
        (node.state_dir.root / name).write_bytes(b"rubbish")
    put_back, started, problems = await node.restore()
    assert (put_back, started) == (0, ())
    assert "stored assignment damaged" in problems[0]
    assert (node.units / DB).exists()


async def test_files_of_an_admin_are_not_touched(node: Node) -> None:
    drop_in = node.units / f"{WEB}.d/mine.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nNice=5\n")
    (node.units / "other.service").write_text("[Service]\n")
    (node.units / WEB).unlink()
    await node.restore()
    assert drop_in.read_text() == "[Service]\nNice=5\n"
    assert (node.units / "other.service").exists()


async def test_without_systemd_it_says_so(node: Node) -> None:
    (node.units / WEB).unlink()
    node.systemd.unreachable = True
    _, _, problems = await node.restore()
    assert "cannot ask systemd" in problems[0]


async def test_names_that_lead_out_are_refused(node: Node) -> None:
    files = UnitFiles(node.paths)
    for name in ("skerry-../../etc/passwd", "ssh.service", "skerry-/x"):
        with pytest.raises(ValueError, match=r"unit of Skerry's own|cannot name"):
            files.write_unit(name, "")


AUTOGROUP = Path("/proc/self/autogroup")


def test_it_gives_way_to_what_starts_beside_it() -> None:
    """In a session of its own, as a unit is; a kernel that weighs no sessions has no such file."""
    code = f"from skerry_agent.boot import give_way; give_way(); print(open('{AUTOGROUP}').read())"
    if not AUTOGROUP.exists():
        code = "from skerry_agent.boot import give_way; give_way(); print('nice 10')"
    assert _said(sys.executable, "-c", code).endswith("nice 10")


def test_it_does_not_make_the_session_of_whoever_runs_it_give_way() -> None:
    """An admin's, by hand."""
    code = "from skerry_agent.boot import give_way; give_way()"
    words = f'before=$(cat {AUTOGROUP}); {sys.executable} -c \'{code}\'; [ "$before" = "$(cat {AUTOGROUP})" ]'
    _said("sh", "-c", f"[ ! -e {AUTOGROUP} ] || {{ {words}; }}")


def _said(*words: str) -> str:
    """By the leader of a session of its own."""
    run = subprocess.run(words, capture_output=True, text=True, check=True, start_new_session=True)
    return run.stdout.strip()
