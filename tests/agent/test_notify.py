"""What systemd hears of the agent."""

import os
import socket
from pathlib import Path

import pytest

from skerry_agent.notify import notify, watchdog_seconds


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
