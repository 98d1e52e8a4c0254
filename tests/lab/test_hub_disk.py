"""A hub whose disk fills up: it says so before and then, decides nothing by halves, and goes on by itself.

The disk is a small one of the test's own, in a mount namespace that ends with the hub.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from skerry_hub.lab import software

WITHIN_S = 20.0
APP = '[app.{}]\nrun = ["/bin/true"]\navailability = "best-effort"\n'


class Hub:
    """A hub on a disk of its own. `run` runs something where that disk can be seen."""

    def __init__(self, process: subprocess.Popen[bytes], disk: Path, log: Path) -> None:
        self.process, self.disk, self.log = process, disk, log

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        words = ["nsenter", f"--target={self.process.pid}", "--mount", "--", *argv]
        environ = os.environ | {"SKERRY_CONFIG": str(self.disk / "hub/operator.toml")}
        return subprocess.run(words, env=environ, capture_output=True, text=True, check=check, timeout=30)

    def skerry(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(str(software.bindir() / "skerry"), *words, check=check)

    def until(self, what: str, true: Callable[[], object]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not true():
            assert time.monotonic() < deadline, f"{what}\n{self.log.read_text()}"
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)

    def loud(self) -> str:
        return "\n".join(json.loads(self.skerry("hub", "status", "--json").stdout)["loud"])


@contextmanager
def running(folder: Path) -> Iterator[Hub]:
    disk, log = folder / "disk", folder / "log"
    disk.mkdir()
    hub = software.bindir() / "skerry-hub"
    script = f"""
        mount -t tmpfs -o size=96m none {disk}
        {hub} init --mesh coast --region north --data {disk}/hub --address localhost:18443
        exec {hub} run --data {disk}/hub --listen 127.0.0.1:18443 --nats none
    """
    tied = ["setpriv", "--pdeathsig", "KILL", "--"]
    words = [*tied, "unshare", "--mount", "--propagation", "private", "sh", "-ec", script]
    with log.open("wb") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file)
    found = Hub(process, disk, log)
    try:
        found.until("it serves", lambda: found.skerry("hub", "status", check=False).returncode == 0)
        yield found
    finally:
        process.terminate()
        process.wait(20)


def test_a_full_disk_is_said_before_and_after_it_is_full(tmp_path: Path) -> None:
    with running(tmp_path) as hub:
        file = hub.disk / "apps.toml"
        hub.run("sh", "-c", f"cat > {file} <<'END'\n{APP.format('before')}END")
        hub.skerry("apply", str(file), "--no-wait")
        assert hub.loud() == ""
        hub.run("fallocate", "--length", "50M", str(hub.disk / "most"))
        assert hub.loud().startswith("LITTLE ROOM"), hub.loud()
        hub.run("sh", "-c", f"cat > {file} <<'END'\n{APP.format('after')}END")
        hub.run("sh", "-c", f"cat /dev/zero > {hub.disk}/rest || true")
        refused = hub.skerry("apply", str(file), "--no-wait", check=False)
        assert refused.returncode != 0
        assert "nothing was changed" in refused.stderr, refused.stderr
        assert "NOTHING IS DECIDED" in hub.loud()
        assert [one["name"] for one in json.loads(hub.skerry("apps", "--json").stdout)] == ["before"]
        hub.run("rm", f"{hub.disk}/rest", f"{hub.disk}/most")
        hub.skerry("apply", str(file), "--no-wait")
        hub.until("all is well again", lambda: hub.loud() == "")
