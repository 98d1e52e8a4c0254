"""The disk that machines begin with: Debian as packaging/dev/vm-setup made it, this checkout, and the test's agent.

The checkout is at the same path as here, because scripts of a .venv carry it. Nothing is mounted: the file system is
made from a folder, whose Debian part is linked, not copied.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUEST = Path(__file__).parent / "guest"
SOURCES = ("protocol", "netplan", "agent", "hub", "tests", "pyproject.toml", ".venv")
# Of .venv: what no machine needs, and is large.
LEFT_OUT = ("ruff", "mypy", "mypyc", "*__mypyc*.so", "pip", "lxml", "setuptools", "sim", "golden")
SIZE = "1500M"
MACHINES = 3


@dataclass(frozen=True)
class Image:
    """What a machine boots."""

    kernel: Path
    initrd: Path
    disk: Path


def made() -> Path:
    """The folder with kernel, initrd and root; made if they are not there yet."""
    done = subprocess.run([ROOT / "packaging/dev/vm-setup"], check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


def make(debian: Path, folder: Path) -> Image:
    """In `folder`, which is on the same file system as `debian`."""
    tree, disk = folder / "root", folder / "first.img"
    subprocess.run(["cp", "-al", debian / "root", tree], check=True)
    _checkout(tree)
    _agent(tree)
    _network(tree)
    _units(tree)
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-d", tree, disk, SIZE], check=True, stdout=subprocess.DEVNULL
    )
    shutil.rmtree(tree)
    return Image(debian / "vmlinuz", debian / "initrd", disk)


def _checkout(tree: Path) -> None:
    to = tree / ROOT.relative_to("/")
    to.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
        else:
            shutil.copy2(ROOT / name, to / name)


def _agent(tree: Path) -> None:
    to = tree / "usr/local/lib/skerry-vm"
    to.mkdir()
    shutil.copy2(GUEST / "agent.py", to)
    shutil.copy2(GUEST / "skerry-vm.service", tree / "etc/systemd/system")
    _enable(tree, "skerry-vm.service")


def _network(tree: Path) -> None:
    """Of each machine that may be: which one it is shows by its card."""
    for number in range(1, MACHINES + 1):
        text = f"[Match]\nMACAddress={mac(number)}\n[Network]\nAddress={address(number)}/24\n"
        path = tree / f"etc/systemd/network/{number}.network"
        path.write_text(text + "LinkLocalAddressing=ipv6\n", "ascii")


def _units(tree: Path) -> None:
    """As a package would, but that programs are in the checkout's .venv."""
    for path in sorted((ROOT / "packaging/units").iterdir()):
        text = path.read_text("utf-8").replace("@BINDIR@", str(ROOT / ".venv/bin"))
        (tree / "etc/systemd/system" / path.name).write_text(text, "utf-8")
    _enable(tree, "skerry-net.service")


def _enable(tree: Path, unit: str) -> None:
    subprocess.run(["systemctl", "--quiet", f"--root={tree}", "enable", unit], check=True)


def mac(number: int) -> str:
    return f"52:54:00:00:00:{number:02x}"


def address(number: int) -> str:
    """On the cable that joins all machines."""
    return f"192.0.2.{number}"
