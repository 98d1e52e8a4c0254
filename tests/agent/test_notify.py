"""What systemd hears of the agent."""

import os
import socket
from pathlib import Path

import pytest

from skerry_agent.notify import keep, kept, notify, watchdog_seconds


@pytest.mark.parametrize("abstract", [False, True])
def test_a_datagram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"@skerry-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name[1:] if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify("READY=1")
        assert systemd.recv(100) == b"READY=1"


@pytest.mark.parametrize("name", ["", "relative", "/nonexistent/socket"])
def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    notify("READY=1")


@pytest.mark.parametrize(
    ("usec", "pid", "expected"), [("60000000", "", 30.0), ("", "", None), ("x", "", None), ("60", "1", None)]
)
def test_watchdog(monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, expected: float | None) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid or str(os.getpid()))
    assert watchdog_seconds() == expected


def test_sockets_are_kept_in_the_place_of_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, socket.socket() as mine:
        systemd.bind(name)
        mine.bind(("127.0.0.1", 0))
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        keep("names", [mine])
        assert systemd.recv(100) == b"FDSTOREREMOVE=1\nFDNAME=names"
        said, (fd,), *_ = socket.recv_fds(systemd, 100, 2)
        assert said == b"FDSTORE=1\nFDNAME=names\nFDPOLL=0"
        with socket.socket(fileno=fd) as copy:
            assert copy.getsockname() == mine.getsockname()


@pytest.mark.parametrize(("pid", "count"), [("1", "1"), ("", ""), ("own", "x"), ("own", "0")])
def test_what_was_kept_for_nobody_here_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, pid: str, count: str
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()) if pid == "own" else pid)
    monkeypatch.setenv("LISTEN_FDS", count)
    assert kept() == []
    assert "LISTEN_PID" not in os.environ
