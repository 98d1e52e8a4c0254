"""Whether a fenced unit, as systemd has it in force, is gone within its stop timeout. Pure.

A drop-in, an edited file or a property set at run time may have changed anything since it was rendered; a copy that
could outlive its lease must not be started.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..systemd.port import StopRules


def unfit(rules: StopRules, limit_ms: int, lease_target: str) -> tuple[str, ...]:
    """Every reason why a unit with these rules may outlive its lease; empty where it is fit.

    `limit_ms` is the stop timeout that the lease was reckoned with.
    """
    return tuple(_reasons(rules, limit_ms, lease_target))


def _reasons(rules: StopRules, limit_ms: int, lease_target: str) -> Iterator[str]:
    whence = f" (see {', '.join(rules.drop_ins)})" if rules.drop_ins else ""
    if rules.stop_timeout_us is None or rules.stop_timeout_us > limit_ms * 1000:
        takes = "no end" if rules.stop_timeout_us is None else f"{rules.stop_timeout_us // 1000} ms"
        yield f"TimeoutStopSec is {takes}, its lease allows {limit_ms} ms{whence}"
    if rules.kill_mode != "control-group":
        yield f"KillMode is {rules.kill_mode}: processes could stay behind{whence}"
    if not rules.send_sigkill:
        yield f"SendSIGKILL is off: processes could stay behind{whence}"
    if rules.notify_access != "none":
        yield f"NotifyAccess is {rules.notify_access}: a process could stretch its stop timeout{whence}"
    if rules.stop_commands:
        yield f"it has ExecStop or ExecStopPost, each with a timeout of its own{whence}"
    if lease_target not in rules.requisite:
        yield f"it does not need {lease_target}{whence}"
