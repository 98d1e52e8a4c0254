"""A hub whose disk fills up, fails or lies: it says so, decides nothing by halves, and goes on by itself.

The disk is a small one of the test's own, in a mount namespace that ends with the hub.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skerry_hub.lab import software
from tests.lab.steps import Step, failing, traced

DATABASE = ("pwrite64", "fdatasync")
TIED = ("setpriv", "--pdeathsig", "KILL", "--")
SERVE = ("--no-tunnels", "--listen", "127.0.0.1:18443", "--nats", "none")
WITHIN_S = 20.0
APP = '[app.{}]\nrun = ["/bin/true"]\navailability = "best-effort"\n'


class Hub:
    """A hub on a disk of its own, which is there as long as `holder` lives."""

    def __init__(self, holder: subprocess.Popen[bytes], folder: Path) -> None:
        self.disk, self.log = folder / "disk", folder / "log"
        self._holder = holder
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Something where that disk can be seen."""
        environ = os.environ | {"SKERRY_CONFIG": str(self.disk / "hub/operator.toml")}
        words = [*self._inside(), *argv]
        return subprocess.run(words, env=environ, capture_output=True, text=True, check=check, timeout=30)

    def _inside(self) -> list[str]:
        return [*TIED, "nsenter", f"--target={self._holder.pid}", "--mount", "--"]

    def own(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`skerry-hub WORDS` on its data."""
        data = ("--data", str(self.disk / "hub"))
        return self.run(str(software.bindir() / "skerry-hub"), *words, *data, check=check)

    def skerry(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(str(software.bindir() / "skerry"), *words, check=check)

    def start(self) -> None:
        """Returns when it serves."""
        words = [str(software.bindir() / "skerry-hub"), "run", "--data", str(self.disk / "hub"), *SERVE]
        with self.log.open("ab") as file:
            self.process = subprocess.Popen([*self._inside(), *words], stdout=file, stderr=file)
        self.until("it serves", lambda: self.skerry("hub", "status", check=False).returncode == 0)

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def end(self, word: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(word)
            self.process.wait(20)
            self.process = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def until(self, what: str, true: Callable[[], object]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not true():
            assert time.monotonic() < deadline, f"{what}\n{self.log.read_text()}"
            assert self.process is None or self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)

    def apply(self, name: str, more: str = "") -> subprocess.CompletedProcess[str]:
        """However it ends."""
        file = self.disk.parent / "apps.toml"
        file.write_text(APP.format(name) + more)
        return self.skerry("apply", str(file), "--no-wait", check=False)

    def apps(self) -> list[str]:
        return [one["name"] for one in json.loads(self.skerry("apps", "--json").stdout)]

    def loud(self) -> str:
        return "\n".join(json.loads(self.skerry("hub", "status", "--json").stdout)["loud"])


@contextmanager
def made(folder: Path) -> Iterator[Hub]:
    """A hub that does not run yet."""
    disk = folder / "disk"
    disk.mkdir()
    script = f"mount -t tmpfs -o size=96m none {disk}; echo; exec sleep inf"
    words = [*TIED, "unshare", "--mount", "--propagation", "private", "sh", "-ec", script]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        hub = Hub(holder, folder)
        try:
            hub.own("init", "--mesh", "coast", "--region", "north", "--address", "localhost:18443")
            yield hub
        finally:
            hub.end()
            holder.kill()


@contextmanager
def running(folder: Path) -> Iterator[Hub]:
    with made(folder) as hub:
        hub.start()
        yield hub


def database_steps(hub: Hub, folder: Path) -> list[Step]:
    """What an apply does to the database."""
    with traced(hub.pid, folder / "steps", DATABASE) as process:
        assert hub.apply("measured").returncode == 0
        return process.steps()


def test_a_full_disk_is_said_before_and_after_it_is_full(tmp_path: Path) -> None:
    with running(tmp_path) as hub:
        assert hub.apply("before").returncode == 0
        assert hub.loud() == ""
        hub.run("fallocate", "--length", "50M", str(hub.disk / "most"))
        assert hub.loud().startswith("LITTLE ROOM"), hub.loud()
        hub.run("sh", "-c", f"cat /dev/zero > {hub.disk}/rest || true")
        refused = hub.apply("after")
        assert refused.returncode != 0
        assert "nothing was changed" in refused.stderr, refused.stderr
        assert "NOTHING IS DECIDED" in hub.loud()
        assert hub.apps() == ["before"]
        hub.run("rm", f"{hub.disk}/rest", f"{hub.disk}/most")
        hub.until("it finds out by itself that all is well", lambda: hub.loud() == "")
        assert hub.apply("after").returncode == 0
        assert hub.apps() == ["after", "before"]


@pytest.mark.parametrize("error", ["ENOSPC", "EROFS", "EIO"])
def test_a_disk_that_fails_under_open_files_is_said_until_it_is_well_again(
    tmp_path: Path, error: str
) -> None:
    """At the first write of a commit, in its middle, and where all is written and not yet on disk."""
    with running(tmp_path) as hub:
        steps = database_steps(hub, tmp_path)
        synced = next(step for step in steps if step.call == "fdatasync")
        before = hub.apps()
        for since in (steps[0], steps[steps.index(synced) // 2], synced):
            faults = failing(steps, since, error, DATABASE)
            with traced(hub.pid, tmp_path / "failed", DATABASE, *faults):
                refused = hub.apply("refused")
                assert refused.returncode == 1, refused
                assert "cannot write" in refused.stderr, refused.stderr
                assert "nothing was changed" in refused.stderr, refused.stderr
                assert "NOTHING IS DECIDED" in hub.loud()
                assert hub.apps() == before
            hub.until("it finds out by itself that all is well", lambda: hub.loud() == "")
            assert hub.apps() == before
        assert hub.apply("after").returncode == 0


def test_a_hub_does_not_start_on_a_disk_that_takes_nothing_and_says_why(tmp_path: Path) -> None:
    with made(tmp_path) as hub:
        for state, reason in (("ro", "Read-only file system"), ("rw", "")):
            hub.run("mount", "-o", f"remount,{state}", str(hub.disk))
            if reason:
                refused = hub.own("run", *SERVE, check=False)
                assert refused.returncode == 1
                assert refused.stderr == (
                    f"Error: cannot open {hub.disk}/hub/hub.db: {reason}"
                    " (look at the disk: is it full, or failing?)\n"
                )
        hub.start()
        assert hub.apply("after").returncode == 0


def test_what_a_failing_disk_does_not_keep_of_archives_and_backups_leaves_nothing(tmp_path: Path) -> None:
    archive, copy = tmp_path / "site.tar", tmp_path / "copy.db"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("serve"))
    shipped = f'artifact = "{archive}"\n'
    with running(tmp_path) as hub:
        hub.apply("before")
        for call in ("fsync", "rename"):
            with traced(hub.pid, tmp_path / "failed", ("fsync", "rename"), f"{call}:error=EIO"):
                refused = hub.apply("shipped", shipped)
                assert "cannot keep artifact" in refused.stderr, refused.stderr
                assert "Input/output error" in refused.stderr, refused.stderr
            assert hub.run("ls", "-A", f"{hub.disk}/hub/artifacts").stdout == ""
        for call in ("mkdir", "fsync"):
            with traced(hub.pid, tmp_path / "failed", ("fsync", "mkdir"), f"{call}:error=ENOSPC"):
                refused = hub.skerry("backup", str(copy), check=False)
                assert refused.returncode != 0
                assert "cannot write" in refused.stderr, refused.stderr
                assert "No space left on device" in refused.stderr, refused.stderr
            assert not copy.exists()
            assert ".backup-" not in hub.run("ls", "-A", f"{hub.disk}/hub").stdout
        assert hub.apply("shipped", shipped).returncode == 0
        hub.skerry("backup", str(copy))


def test_a_database_that_is_damaged_while_the_hub_runs_is_said_and_a_backup_takes_its_place(
    tmp_path: Path,
) -> None:
    """What is damaged is not written to any more; the hub goes on answering its nodes from what it knows."""
    copy = tmp_path / "copy.db"
    with running(tmp_path) as hub:
        hub.apply("before")
        hub.skerry("backup", str(copy))
        spoil(hub.disk / "hub", hub)
        hub.apply("unnoticed")  # what was read before is not read again
        hub.until("it notices", lambda: hub.skerry("apps", check=False).returncode != 0)
        refused = hub.apply("after")
        for said in (refused.stderr, hub.skerry("apps", check=False).stderr):
            assert "hub.db" in said, said
            assert "put a backup back with 'skerry-hub restore FILE'" in said, said
        hub.end()
        hub.own("restore", str(copy))
        hub.start()
        assert hub.apps() == ["before"]


def spoil(data: Path, hub: Hub) -> None:
    """Every page but the first is rubbish, in the file and in its log."""
    for name, first in (("hub.db", 4096), ("hub.db-wal", 4096)):
        script = f"n=$(stat -c %s {data}/{name}); head -c $((n - {first})) /dev/urandom"
        script += f" | dd of={data}/{name} bs={first} seek=1 conv=notrunc status=none"
        hub.run("sh", "-ec", script)
