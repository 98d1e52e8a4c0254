"""The unit in which an exec check runs: its instance's own service text, with another command. Pure.

So a check has exactly the sandbox, user, files, volumes and limits of what it checks, by construction; systemd gives it
a control group and a time limit, and ends it with the instance. Must never give it anything that the instance has not.
"""

from __future__ import annotations

import hashlib

from .render import APP_ROOT
from .unitfile import command, plain_path

PREFIX = "skerrycheck-"
# Lines of the service that are about running for long, or that only its first process may have.
LEFT_OUT = frozenset(
    {
        "Description", "ExecReload", "ExecStart", "ExecStartPost", "ExecStartPre", "NotifyAccess", "Restart",
        "RestartSec", "StateDirectory", "TimeoutStartSec", "TimeoutStopSec", "Type", "WantedBy",
    }
)  # fmt: skip


def check_unit(service: str, text: str, user: str, run: tuple[str, ...], timeout_ms: int) -> tuple[str, str]:
    """(unit name, unit text) of a check of `service`, whose own unit text is `text`. Raises UnitTextError.

    `user`: the name of the user that the service runs as. The unit's name carries a digest of
    the text, so that systemd has never loaded it in another form.
    """
    program = run[0]
    if "/" in program:
        program = plain_path(
            program if program.startswith("/") else f"{APP_ROOT}/{program.removeprefix('./')}"
        )
    unit = [f"Requisite={service}", f"After={service}", f"JoinsNamespaceOf={service}"]
    body = [
        "Type=oneshot",
        f"ExecStart={command(program, run[1:])}",
        f"TimeoutStartSec={timeout_ms}ms",
        "TimeoutStopSec=1s",
    ]
    own_unit, own_service = _lines(text, "Unit"), _lines(text, "Service")
    if "DynamicUser=yes" in own_service:
        # By this name systemd gives the check the instance's own user, not another that it makes up (systemd.exec(5)).
        own_service = [*own_service, f"User={user}"]
    made = "\n".join(
        [
            "[Unit]",
            f"Description=Skerry: check of {service}",
            *unit,
            *own_unit,
            "",
            "[Service]",
            *own_service,
            *body,
            "",
        ]
    )
    digest = hashlib.sha256(made.encode()).hexdigest()[:12]
    return f"{stem(service)}{digest}.service", made


def stem(service: str) -> str:
    """What the names of all checks of this service begin with."""
    return f"{PREFIX}{service.removesuffix('.service').removeprefix('skerry-')}-"


def _lines(text: str, section: str) -> list[str]:
    found: list[str] = []
    current = ""
    for line in text.splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif current == section and "=" in line and line.partition("=")[0] not in LEFT_OUT:
            found.append(line)
    return found
