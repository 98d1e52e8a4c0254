"""Forwarding, which instances need and the kernel knows for a machine as a whole only.

A machine that forwards takes no more router advertisements (RFC 4861 section 6.2.2) unless it is told to: one that has
its own address and way out by them would lose both, some time later. So that comes first.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from .links import set_sysctl

SIX, FOUR = "ipv6/conf/all/forwarding", "ipv4/ip_forward"
_ROOT = Path("/proc/sys/net")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ALSO_WHEN_FORWARDING = "2"


def is_on() -> bool:
    """Whether this machine forwards anything now. Ask before `switch_on`: what it did not is to stay shut."""
    return any((_ROOT / path).read_text(encoding="ascii").strip() != "0" for path in (SIX, FOUR))


def switch_on() -> None:
    """Raises OSError."""
    for name in taking(_ROOT / "ipv6/conf"):
        with suppress(FileNotFoundError):
            set_sysctl(f"ipv6/conf/{name}/accept_ra", _ALSO_WHEN_FORWARDING)
    for path in (SIX, FOUR):
        set_sysctl(path, "1")


def taking(conf: Path) -> list[str]:
    """The interfaces that take router advertisements unless the machine forwards. One that goes meanwhile is none."""
    found = []
    for folder in sorted(conf.iterdir()):
        with suppress(FileNotFoundError):
            if (folder / "accept_ra").read_text(encoding="ascii").strip() == "1":
                found.append(folder.name)
    return found


def was_on(kept: Path) -> bool:
    """Whether this machine forwarded before Skerry had it do so in this boot: `kept` remembers. Raises OSError."""
    boot = _BOOT_ID.read_text(encoding="ascii").strip()
    try:
        former, _, before = kept.read_text(encoding="ascii").partition(" ")
    except (OSError, UnicodeDecodeError):
        former = before = ""
    if former != boot:
        before = "1" if is_on() else "0"
        kept.write_text(f"{boot} {before}", encoding="ascii")
    return before == "1"


def switched_on(kept: Path) -> bool:
    """Switches it on; whether it was on before Skerry did so in this boot, see `was_on`. Raises OSError."""
    before = was_on(kept)
    switch_on()
    return before
