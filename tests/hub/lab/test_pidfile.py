import os
import subprocess
from pathlib import Path

from skerry_hub.lab import pidfile


def test_the_caller_is_found(tmp_path: Path) -> None:
    pidfile.write(tmp_path / "pid")
    found = pidfile.find(tmp_path / "pid")
    assert found is not None
    os.close(found)


def test_no_other_process_is_taken_for_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    assert pidfile.find(file) is None
    file.write_text(f"{os.getpid()} 1")  # the same number, but one that began at another time
    assert pidfile.find(file) is None
    ended = subprocess.Popen(["true"])
    ended.wait()
    file.write_text(f"{ended.pid} 1")
    assert pidfile.find(file) is None
    file.write_text("")
    assert pidfile.find(file) is None


def test_who_has_ended_is_no_more_even_if_nobody_has_waited_for_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    child = os.fork()
    if child == 0:
        pidfile.write(file)
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert pidfile.find(file) is None
    os.waitpid(child, 0)
    file.write_text("")
    assert pidfile.find(file) is None
