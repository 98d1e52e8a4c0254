"""Does one health check of one instance, and says how it went. Never raises, never takes longer than it may.

http and tcp are looked at from where the instance is: from inside its network namespace where it has one of its own. An
exec check runs as a unit of its own with the instance's very sandbox (`checkunit`), under systemd's time limit.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from msgspec import Struct

from skerry_protocol.app import Health

from ..disk.files import DiskError, make_folder, remove, write_atomic
from ..switch.target import Running
from ..systemd import JobResult, Outcome, Systemd
from ..units.checkunit import check_unit, stem
from ..units.unitfile import UnitTextError
from . import exits
from .probes import http, tcp

RUN = Path("/run/systemd/system")
SLACK_SECONDS = 5.0  # for systemd to end a check that took too long


class CheckResult(Struct, frozen=True):
    """How it went; the reason is for people and empty when all is well."""

    ok: bool
    reason: str = ""


async def check(systemd: Systemd, running: Running, run: Path = RUN) -> CheckResult:
    """One check, as its app has it. An app without one is well."""
    health = running.entry.app.health
    if health is None:
        return CheckResult(True)
    if health.exec is not None:
        return await _exec(systemd, running, health, health.exec, run)
    pid = None
    if running.rendered.private_network:
        pid = await _main_pid(systemd, running.rendered.service)
        if pid is None:
            return CheckResult(False, "it has no process to look from")
    return await look(health, pid)


async def look(health: Health, pid: int | None) -> CheckResult:
    """An http or tcp check, from the network of `pid` or from ours."""
    try:
        async with asyncio.timeout(health.timeout_ms / 1000):
            await (http(health.http, pid) if health.http is not None else tcp(health.tcp or 0, pid))
    except TimeoutError:
        return CheckResult(False, f"no answer within {health.timeout_ms} ms")
    except OSError as error:
        where = health.http or f"port {health.tcp}"
        return CheckResult(False, f"{where}: {os.strerror(error.errno) if error.errno else error}")
    except (ValueError, OverflowError) as error:
        return CheckResult(False, str(error))
    return CheckResult(True)


async def _main_pid(systemd: Systemd, service: str) -> int | None:
    """The service's main process, if it still is its own: numbers of processes are used again."""
    shown = await systemd.show([service])
    pid = 0 if isinstance(shown, Outcome) else shown[0].main_pid
    return pid if _belongs(pid, service) else None


def _belongs(pid: int, service: str) -> bool:
    try:
        return f"/{service}" in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
    except OSError:
        return False


async def _exec(
    systemd: Systemd, running: Running, health: Health, command: tuple[str, ...], run: Path
) -> CheckResult:
    service = running.rendered.service
    user = await systemd.user(service)
    if isinstance(user, Outcome):
        return CheckResult(False, f"cannot ask systemd: {user.reason}")
    try:
        name, text = check_unit(service, running.rendered.units[service], user, command, health.timeout_ms)
        _write(run, name, text, stem(service))
    except (UnitTextError, DiskError) as error:
        return CheckResult(False, str(error))
    outcome = await systemd.start(name, health.timeout_ms / 1000 + SLACK_SECONDS)
    if outcome.ok:
        return CheckResult(True)
    reason = await _why(systemd, name, outcome, health.timeout_ms)
    await systemd.reset_failed(name)
    return CheckResult(False, reason)


def _write(run: Path, name: str, text: str, prefix: str) -> None:
    """The file stays for the next check; those of former users or commands go."""
    if (run / name).exists():
        return
    for path in run.glob(f"{prefix}{'[0-9a-f]' * 12}.service"):
        remove(path)
    make_folder(run)
    write_atomic(run / name, text.encode())


async def _why(systemd: Systemd, name: str, outcome: Outcome, timeout_ms: int) -> str:
    if outcome.result is JobResult.DEPENDENCY:
        return "it is not running"
    shown = await systemd.show([name])
    if isinstance(shown, Outcome) or outcome.result not in {JobResult.FAILED, JobResult.TIMEOUT}:
        return outcome.reason or outcome.result.value
    unit = shown[0]
    if unit.result == "timeout":
        return f"no answer within {timeout_ms} ms"
    if unit.result == "exit-code":
        return exits.text(unit.exit_status)
    return unit.result or outcome.reason
