"""Probes against real listeners on loopback, and the unit of an exec check."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.health.checks import check, look
from skerry_agent.switch.target import Running
from skerry_agent.systemd import StopRules
from skerry_agent.systemd.fake import FakeSystemd
from skerry_agent.units.checkunit import check_unit, stem
from skerry_agent.units.policy import Policy
from skerry_agent.units.render import NodeFacts, Paths, Rendered, render
from skerry_agent.units.stoprules import unfit
from skerry_protocol.app import App, Health
from skerry_protocol.messages import AppRevision

from ..builders import an_app, an_instance, fenced

pytestmark = pytest.mark.anyio
SERVICE = "skerry-web-0.service"


@asynccontextmanager
async def listening(answer: bytes, hang: bool = False) -> AsyncIterator[int]:
    """A server that reads a little, answers with these bytes and hangs up, or stays silent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        if hang:
            await reader.read()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", ""),
        (b"HTTP/1.0 204 No Content\r\n\r\n", ""),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n", ""),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "answered 404"),
        (b"HTTP/1.1 503 \r\n\r\n", "answered 503"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "answered 100"),
        (b"SSH-2.0-OpenSSH\r\n", "not HTTP"),
        (b"", "not HTTP"),
        (b"HTTP/1.1 200" + b"x" * 100_000, "not HTTP"),
    ],
)
async def test_http(answer: bytes, reason: str) -> None:
    async with listening(answer) as port:
        result = await look(Health(http=f"http://127.0.0.1:{port}/healthz"), None)
    assert result.ok is (reason == "")
    assert reason in result.reason


@given(st.binary(max_size=60))
async def test_http_takes_any_answer(answer: bytes) -> None:
    async with listening(answer) as port:
        result = await look(Health(http=f"http://localhost:{port}/"), None)
    assert not result.ok
    assert result.reason


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "http:///x",
        "http://127.0.0.1:99999/",
        "http://a b/",
        "http://1.1.1.1/\r\nX: y",
        "file:///etc",
    ],
)
async def test_bad_addresses_are_said(url: str) -> None:
    result = await look(Health(http=url, timeout_ms=500), None)
    assert not result.ok
    assert result.reason


async def test_silence_is_a_failure_in_time() -> None:
    async with listening(b"", hang=True) as port:
        result = await look(Health(http=f"http://127.0.0.1:{port}/", timeout_ms=50), None)
    assert result.reason == "no answer within 50 ms"


async def test_tcp() -> None:
    async with listening(b"") as port:
        assert (await look(Health(tcp=port), None)).ok
    closed = await look(Health(tcp=port), None)
    assert "refused" in closed.reason


def running(app: App, network: bool = False) -> Running:
    made = render(an_instance(app), app, Policy(), Paths(), NodeFacts("n1", "x86_64", network=network))
    assert isinstance(made, Rendered), made
    return Running(an_instance(app), AppRevision(1, app), made)


def checks_in(folder: Path) -> int:
    return len(list(folder.glob(f"{stem(SERVICE)}*")))


async def test_exec_runs_in_a_unit_of_its_own(tmp_path: Path) -> None:
    fake = FakeSystemd([tmp_path])
    one = running(an_app())
    for command, ok in (("/bin/true", True), ("/bin/false", False)):
        one = running(an_app(health=Health(exec=(command,))))
        (tmp_path / SERVICE).write_text(one.rendered.units[SERVICE])
        await fake.start(SERVICE, 1)
        result = await check(fake, one, tmp_path)
        assert (result.ok, result.reason) == (ok, "" if ok else "exit status 1")
        assert checks_in(tmp_path) == 1, "the file of the other command is gone"
    await fake.stop(SERVICE, 1)
    assert (await check(fake, one, tmp_path)).reason == "it is not running"


async def test_no_process_no_look(tmp_path: Path) -> None:
    result = await check(FakeSystemd([tmp_path]), running(an_app(health=Health(tcp=80))), tmp_path)
    assert result.reason == "it has no process to look from"


def test_a_check_has_its_instances_sandbox_and_no_more() -> None:
    text = running(fenced(health=Health(exec=("./check", "%h $HOME")))).rendered.units[SERVICE]
    app = fenced(artifacts={}, health=Health(exec=("/bin/check", "%h")))
    own = set(running(app).rendered.units[SERVICE].splitlines())
    _, made = check_unit(SERVICE, text, "skerry-web-1", ("/bin/check", "%h $X"), 1500)
    lines = made.splitlines()
    for setting in (
        "PrivateNetwork=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "SystemCallFilter=@system-service",
    ):
        assert setting in lines
    assert {"User=skerry-web-1", "DynamicUser=yes"} <= set(lines)
    assert "TimeoutStartSec=1500ms" in lines
    assert 'ExecStart=:/bin/check "%%h $X"' in lines
    assert {line for line in own if line.startswith("Requisite=skerry-lease")} <= set(lines)
    assert not any(line.startswith(("Restart=", "StateDirectory=", "WantedBy=")) for line in lines)


def test_a_check_is_in_the_network_of_its_instance() -> None:
    """systemd enters it by its path, or by what it kept of the instance's own: both are the same one."""
    made = running(an_app(health=Health(exec=("/bin/check",))), network=True)
    _, text = check_unit(SERVICE, made.rendered.units[SERVICE], "skerry-web-1", ("/bin/check",), 1500)
    lines = text.splitlines()
    assert f"NetworkNamespacePath=/run/skerry/spaces/now/{made.rendered.namespace}" in lines
    assert "BindReadOnlyPaths=-/run/skerry/net/resolv.conf:/etc/resolv.conf" in lines
    assert f"JoinsNamespaceOf={SERVICE}" in lines
    assert "PrivateNetwork=yes" not in lines


def rules(**changes: object) -> StopRules:
    fields: dict[str, object] = {
        "stop_timeout_us": 2_000_000, "kill_mode": "control-group", "send_sigkill": True, "notify_access": "none",
        "stop_commands": 0, "requisite": ("lease",), "wanted_by": (), "drop_ins": (),
    }  # fmt: skip
    return StopRules(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"stop_timeout_us": 2_001_000},
        {"stop_timeout_us": None},
        {"kill_mode": "process"},
        {"send_sigkill": False},
        {"notify_access": "all"},
        {"stop_commands": 1},
        {"requisite": ()},
    ],
)
def test_whatever_may_outlive_a_lease_is_unfit(change: dict[str, object]) -> None:
    assert unfit(rules(), 2000, "lease") == ()
    assert len(unfit(rules(**change), 2000, "lease")) == 1
