"""The local socket: streamed answers, clear errors, and nothing that one client can do to another."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.view.local import CannotDo, LocalRequest, LocalServer, parse
from skerry_agent.view.localclient import AgentError, ask

pytestmark = pytest.mark.anyio


class Answers:
    """A handler for tests; `ended` is set when an endless answer was ended."""

    def __init__(self) -> None:
        self.begun, self.ended = asyncio.Event(), asyncio.Event()

    async def __call__(self, request: LocalRequest) -> AsyncGenerator[object, None]:
        match request.do:
            case "status":
                yield {"node": "n1"}
                yield request.args
            case "follow":
                try:
                    self.begun.set()
                    yield "first"
                    await asyncio.Event().wait()
                finally:
                    self.ended.set()
            case "fault":
                raise RuntimeError("secret detail")
            case _:
                raise CannotDo(f"cannot {request.do}: nobody knows how")


@pytest.fixture
async def path(tmp_path: Path, answers: Answers) -> AsyncIterator[Path]:
    server = LocalServer(answers, tmp_path / "run/agent.sock", os.getuid())
    await server.start()
    yield tmp_path / "run/agent.sock"
    await server.close()


@pytest.fixture
async def answers() -> Answers:
    return Answers()


async def asked(path: Path, do: str, **args: str | int | bool) -> list[object]:
    return await asyncio.to_thread(lambda: list(ask(do, args, path)))


async def test_parts_come_in_order(path: Path) -> None:
    assert await asked(path, "status", app="web", n=3) == [{"node": "n1"}, {"app": "web", "n": 3}]


async def test_only_root_may_connect(path: Path) -> None:
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600  # noqa: PTH116 - blocks no longer than any other test


async def test_another_user_is_refused(tmp_path: Path, answers: Answers) -> None:
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        assert LocalServer(answers, tmp_path / "a", root=os.getuid()).refusal(left) is None
        refusal = LocalServer(answers, tmp_path / "a", root=12345).refusal(left)
    assert refusal == "cannot talk to the agent: run it as root"


async def test_cannot_is_told(path: Path) -> None:
    with pytest.raises(AgentError, match="cannot dance: nobody knows how"):
        await asked(path, "dance")


async def test_a_fault_is_told_without_its_insides(path: Path) -> None:
    with pytest.raises(AgentError, match="fault in the agent") as caught:
        await asked(path, "fault")
    assert "secret" not in str(caught.value)
    assert await asked(path, "status")


async def test_a_client_that_leaves_ends_its_answer(path: Path, answers: Answers) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b'{"do": "follow"}\n')
    assert b"first" in await reader.readline()
    writer.close()
    await asyncio.wait_for(answers.ended.wait(), 5)


async def test_closing_ends_answers(tmp_path: Path, answers: Answers) -> None:
    server = LocalServer(answers, tmp_path / "agent.sock", os.getuid())
    await server.start()
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "agent.sock"))
    writer.write(b'{"do": "follow"}\n')
    await reader.readline()
    await server.close()
    assert answers.ended.is_set()
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize(
    "request_bytes", [b"\n", b"{}\n", b"x" * 70_000 + b"\n", b'{"do": 5}\n', b"\xff\xfe\n", b"["]
)
async def test_bad_requests_get_an_error(path: Path, request_bytes: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(request_bytes)
    writer.write_eof()
    assert b"cannot read the request" in await reader.read()
    writer.close()
    assert await asked(path, "status")


async def test_no_agent_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"cannot reach the agent: .*systemctl status skerry-agent"):
        list(ask("status", path=tmp_path / "none.sock"))


async def test_a_socket_left_by_a_crash_is_taken_over(tmp_path: Path, answers: Answers) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "agent.sock"))
    left.close()
    server = LocalServer(answers, tmp_path / "agent.sock", os.getuid())
    await server.start()
    assert await asked(tmp_path / "agent.sock", "status")
    await server.close()


@given(st.binary(max_size=100))
async def test_parse_is_total(line: bytes) -> None:
    try:
        assert isinstance(parse(line), LocalRequest)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - anything but ValueError is the failure
