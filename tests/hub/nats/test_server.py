"""nats-server as a child: found, refused when too old, ready, killed, left over. Each start takes about 0.1 s."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.nats import auth
from skerry_hub.nats.config import (
    OLDEST,
    Listen,
    NatsServerError,
    Settings,
    accepted_version,
    check_version,
    config_text,
    find_program,
)
from skerry_hub.nats.server import NatsServer, end_left_over, is_ours
from tests.natsrig import make_certificate, running, started, until, within

PROGRAM = Path("/usr/bin/nats-server")


@given(st.tuples(st.integers(0, 9), st.integers(0, 30), st.integers(0, 30)))
def test_every_version_older_than_the_oldest_is_refused(version: tuple[int, int, int]) -> None:
    printed = "nats-server: v{}.{}.{}\n".format(*version)
    if version < OLDEST:
        said = f"nats-server {printed.split('v')[-1].strip()} has published .* is the oldest taken"
        with pytest.raises(NatsServerError, match=said):
            accepted_version(PROGRAM, printed)
    else:
        assert accepted_version(PROGRAM, printed) == printed.split("v")[-1].strip()


@given(st.text(max_size=60))
def test_what_is_no_version_is_refused(printed: str) -> None:
    with pytest.raises(NatsServerError):
        accepted_version(PROGRAM, printed)


def test_a_candidate_of_the_oldest_is_older() -> None:
    with pytest.raises(NatsServerError):
        accepted_version(PROGRAM, "nats-server: v2.14.3-RC.1\n")


def test_the_packaged_program_is_found_and_new_enough() -> None:
    assert check_version(find_program()) >= "2.14.3"


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NatsServerError, match=f"there is no program at {tmp_path}/nats"):
        find_program(tmp_path / "nats")


def test_a_program_that_is_something_else_is_refused() -> None:
    with pytest.raises(NatsServerError, match="does not say a version of nats-server"):
        check_version(Path(sys.executable))


def test_the_configuration_holds_no_private_key_and_survives_strange_paths(tmp_path: Path) -> None:
    accounts = auth.open_accounts(auth.new_accounts())
    folder = tmp_path / 'a "quoted" # name'
    settings = Settings(folder, folder / "c", folder / "k", accounts, Listen("::1", 4222))
    text = config_text(settings, auth.mesh_account_token(accounts, (), 1))
    config = json.loads(text)
    assert config["pid_file"] == str(folder / "nats.pid")
    assert config["listen"] == "[::1]:4222"
    assert config["jetstream"]["sync_interval"] == "always"


async def test_it_has_ended_by_when_its_task_has_however_often_that_is_cancelled(tmp_path: Path) -> None:
    async with started(tmp_path) as rig:
        server = NatsServer(
            replace(rig.server.settings, folder=tmp_path / "another"), rig.server.mesh_account
        )
        task = asyncio.create_task(server.run())
        await within(server.ready.wait())
        pid = server.pid
        assert pid is not None
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        assert not is_ours(pid, server.settings.config_file)


async def test_it_is_ready_restarts_when_killed_and_stops_with_its_task(tmp_path: Path) -> None:
    async with started(tmp_path) as rig:
        first = rig.server.pid
        assert first is not None
        assert rig.settings.pid_file.read_text() == str(first)
        assert is_ours(first, rig.settings.config_file)
        os.kill(first, signal.SIGKILL)
        await until(lambda: rig.server.pid not in {first, None})
        await within(rig.server.ready.wait())
        last = rig.server.pid
        assert last is not None
    assert not is_ours(last, rig.settings.config_file)


async def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    async with started(tmp_path) as rig:
        certificate, key, _ = make_certificate(tmp_path, "other")
        settings = Settings(
            tmp_path / "second", certificate, key, rig.accounts, Listen("127.0.0.1", rig.server.port)
        )
        second = NatsServer(settings, rig.server.mesh_account)
        async with running(second.run()):
            await until(lambda: second.trouble is not None)
            assert second.trouble is not None
            assert "address already in use" in second.trouble
            assert not second.ready.is_set()


HUB = """
import asyncio, sys
from pathlib import Path
from tests.natsrig import Rig
async def main():
    rig = Rig(Path(sys.argv[1]))
    asyncio.get_running_loop().create_task(rig.server.run())
    await rig.server.ready.wait()
    print(rig.server.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def hub_process(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """A process with a server as its child. About 0.5 s."""
    child = subprocess.Popen([sys.executable, "-c", HUB, folder], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return child, int(child.stdout.readline())


async def ends(pid: int) -> None:
    """Waits for the end of a process that is not a child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(handle, ended.set)
    try:
        await within(ended.wait())
    finally:
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)


async def test_it_dies_with_a_hub_that_is_killed(tmp_path: Path) -> None:
    hub, pid = hub_process(tmp_path)
    assert is_ours(pid, tmp_path / "nats" / "nats.conf")
    hub.kill()
    hub.communicate()
    await ends(pid)


def leave_over(config: Path) -> subprocess.Popen[bytes]:
    """A server on that configuration whose hub is gone."""
    left = subprocess.Popen([find_program(), "-c", config], stderr=subprocess.PIPE)
    assert left.stderr is not None
    while b"Server is ready" not in left.stderr.readline():
        pass
    return left


async def test_one_that_was_left_over_is_ended_first(tmp_path: Path) -> None:
    async with started(tmp_path) as rig:
        config = rig.settings.config_file
    left = leave_over(config)
    again = NatsServer(rig.settings, rig.server.mesh_account)
    async with running(again.run()):
        await within(again.ready.wait())
        assert left.wait(timeout=20) is not None
        assert again.starts == 1
    left.communicate()


def test_a_process_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    pid_file, config = tmp_path / "nats.pid", tmp_path / "nats.conf"
    other = subprocess.Popen(["sleep", "60"])
    try:
        for text in (str(other.pid), "1", str(os.getpid()), "", "-1", "0", "99999999999999", "x", "4194304"):
            pid_file.write_text(text)
            assert not end_left_over(pid_file, config)
        assert other.poll() is None
        pid_file.unlink()
        assert not end_left_over(pid_file, config)
    finally:
        other.kill()
        other.wait()
