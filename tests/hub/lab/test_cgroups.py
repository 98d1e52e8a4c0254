"""Who a machine's first process is, among those that are with it in its control group."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path

from skerry_hub.lab import cgroups


def test_the_first_of_a_machine_is_found_beside_processes_of_lower_numbers(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").write_text(f"0\n{os.getpid()}\n")
    assert cgroups.init(tmp_path) is None
    inside = "read shut"  # ends with the pipe
    command = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", f"echo up; {inside}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as outer:
        assert outer.stdout is not None
        assert select.select([outer.stdout], [], [], 10)[0]
        (first,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n{first}\n{outer.pid}\n")
        assert cgroups.init(tmp_path) == int(first)
        outer.communicate()
    assert cgroups.init(tmp_path) is None
