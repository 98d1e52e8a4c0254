"""Nothing is left behind: after down, and after anything of the lab, or all of it, was killed."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from skerry_hub.lab import Lab, cgroups, enter, leftovers, pidfile
from skerry_hub.lab.layout import RUN, Host
from tests.lab.conftest import STAND_IN

NODES = ("left-over-a", "left-over-b")


def pidfd_of_outer(lab: Lab) -> int:
    found = pidfile.find(lab.paths.outer)
    assert found is not None
    return found


def kill(pidfd: int) -> None:
    """And waits for the end."""
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    gone(pidfd)


def gone(pidfd: int) -> None:
    assert select.select([pidfd], [], [], 10)[0], "it still runs after 10 s"
    os.close(pidfd)


def command(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def namespaces(pid: int) -> set[str]:
    return {str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in ("pid", "net", "mnt")}


def processes_in(spaces: set[str], lab: Lab) -> list[str]:
    """Not those of other labs, which may be given the numbers of namespaces that are gone."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            _, in_lab, name = (folder / "cgroup").read_text().partition("0::/skerry-lab/")
            other = in_lab and not name.startswith(f"{lab.paths.name}/")
            if spaces & namespaces(int(folder.name)) and not other:
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


class Before:
    """The machine as it was, without regard to other labs that may be up meanwhile."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.seen = self.look()

    def look(self) -> dict[str, object]:
        return {
            "links": sorted(line.split(":")[1] for line in command("ip", "-o", "link").splitlines()),
            "nft": command("nft", "list", "ruleset"),
            "run": sorted(path for path in Path("/run").iterdir() if path != RUN),
            "netns": sorted(Path("/run/netns").iterdir()) if Path("/run/netns").exists() else [],
            "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if "skerry" in line],
            "folders": [path for path in self.folders() if path.exists()],
        }

    def folders(self) -> list[Path]:
        """The parents too, unless another lab has a part in them."""
        cgroup = leftovers.cgroup(self.lab.paths)
        assert cgroup
        own = [self.lab.paths.run, self.lab.paths.store, cgroup]
        return own + [path.parent for path in own if not list(path.parent.glob("*"))]

    def same_again(self, spaces: set[str]) -> None:
        assert self.look() == self.seen
        assert processes_in(spaces, self.lab) == []
        named = [
            line for line in command("ps", "-eo", "args").splitlines() if f'"{self.lab.paths.name}"' in line
        ]
        assert named == []


def up(lab: Lab) -> set[str]:
    """Puts it up; gives the namespaces that are the lab's own."""
    lab.up(NODES, hub_argv=STAND_IN)
    lab.hub_exec(["wireguard-go", "sk-other"])  # goes on by itself, as a tunnel of the hub's does
    assert lab.hub_exec(["pgrep", "-fx", "wireguard-go sk-other"]).stdout
    own = namespaces(enter.keeper_pid(lab.paths)) | namespaces(enter.node_pid(lab.paths, Host(NODES[0])))
    return own - namespaces(os.getpid())


def kill_keeper(lab: Lab) -> None:
    """The keeper proper is the last of the processes in its folder; the first is PID 1 of the lab."""
    outer = pidfd_of_outer(lab)
    folder = leftovers.cgroup(lab.paths)
    assert folder
    os.kill(cgroups.pids(folder / "keeper")[-1], signal.SIGKILL)
    gone(outer)


def kill_init(lab: Lab) -> None:
    outer = pidfd_of_outer(lab)
    os.kill(enter.keeper_pid(lab.paths), signal.SIGKILL)
    gone(outer)


def terminate_outer(lab: Lab) -> None:
    outer = pidfd_of_outer(lab)
    signal.pidfd_send_signal(outer, signal.SIGTERM)
    gone(outer)


@pytest.mark.parametrize("end", [Lab.down, kill_keeper, kill_init, terminate_outer])
def test_nothing_is_left_after(end: Callable[[Lab], object], bare_lab: Lab) -> None:
    before = Before(bare_lab)
    spaces = up(bare_lab)
    assert before.look() != before.seen
    end(bare_lab)
    before.same_again(spaces)


def kill_outer(lab: Lab) -> None:
    """All processes of the lab end by that; sockets, data and cgroup folders are left."""
    folder = leftovers.cgroup(lab.paths)
    assert folder
    kill(pidfd_of_outer(lab))
    while cgroups.populated(folder):
        with (folder / "cgroup.events").open() as events:
            poller = select.poll()
            poller.register(events, select.POLLPRI)
            poller.poll(100)


@pytest.mark.parametrize("sweeper", ["down", "other-down", "other-up"])
def test_what_a_killed_lab_left_is_removed_by_the_next(sweeper: str, bare_lab: Lab) -> None:
    before = Before(bare_lab)
    spaces = up(bare_lab)
    kill_outer(bare_lab)
    assert processes_in(spaces, bare_lab) == []
    assert bare_lab.hub_data.exists()
    if sweeper == "down":
        assert bare_lab.down()
    elif sweeper == "other-down":
        command(sys.executable, "-m", "skerry_hub.lab", "--name", "left-other", "down")
    else:
        with Lab(f"left-other-{os.getpid()}") as other:
            other.up(0, hub=False)
            assert not bare_lab.hub_data.exists()
    before.same_again(spaces)


def test_up_after_a_kill_begins_anew(bare_lab: Lab) -> None:
    before = Before(bare_lab)
    up(bare_lab)
    (bare_lab.hub_data / "file").write_text("old")
    kill_outer(bare_lab)
    spaces = up(bare_lab)
    assert not (bare_lab.hub_data / "file").exists()
    bare_lab.down()
    before.same_again(spaces)


def test_a_tied_lab_ends_with_the_process_that_put_it_up(bare_lab: Lab) -> None:
    before = Before(bare_lab)
    script = (
        "import sys\nfrom skerry_hub.lab import Lab\n"
        f"Lab({bare_lab.paths.name!r}).up({NODES!r}, hub=False, tied=True)\nprint('up', flush=True)\nsys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, text=True) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == "up\n"
        outer = pidfd_of_outer(bare_lab)
        spaces = namespaces(enter.keeper_pid(bare_lab.paths)) - namespaces(os.getpid())
        owner.kill()
    gone(outer)
    before.same_again(spaces)


def test_no_command_outlives_an_up_that_is_killed() -> None:
    """It could make a folder of a lab that is gone already."""
    script = (
        "from skerry_hub.lab import mesh\n"
        "mesh._run(['sh', '-c', 'echo $$ > /proc/$PPID/fd/1; exec sleep 60'])\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdout=pipe, text=True) as owner:
        assert owner.stdout
        left = os.pidfd_open(int(owner.stdout.readline()))
        owner.kill()
        gone(left)


def test_labs_are_up_side_by_side(bare_lab: Lab) -> None:
    with Lab(f"second-{os.getpid()}") as second:
        bare_lab.up(1, hub=False, tied=True)
        second.up(1, hub=False, tied=True)
        bare_lab.run("n1", ["touch", "/root/first"])
        assert second.run("n1", ["ls", "/root/first"], check=False).returncode == 2
        bare_lab.down()
        assert second.run("n1", ["hostname"]).stdout == "n1\n"


def test_what_runs_in_a_control_group_of_somebody_else_is_left_alone() -> None:
    """A container may share the control groups and have labs of its own, whose files are not here."""
    root = cgroups.on_host()
    assert root is not None
    folder = root / "skerry-lab" / "somebody-elses"
    folder.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            (folder / "cgroup.procs").write_text(str(process.pid))
            assert "somebody-elses" not in leftovers.sweep()
            assert process.poll() is None
        finally:
            process.kill()
            process.wait()
    assert "somebody-elses" in leftovers.sweep()
    assert not folder.exists()
