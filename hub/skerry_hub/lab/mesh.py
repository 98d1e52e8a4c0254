"""A mesh in the lab: a hub with its keys, nodes that have joined it, and an operator who may use it.

Owns what `skerry lab up` does beyond machines. All of it goes through the same commands and the same API that people
use; nothing is put into a store or onto a disk by hand but the operator's settings.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from ..api.views import ResumeView
from ..files import write_file
from . import software
from .client import Lab
from .errors import LabError

OPERATOR = "operator.toml"
# Else an 'up' that is killed leaves a command behind, which makes a folder of a lab that is gone already.
_TIED = ("setpriv", "--pdeathsig", "KILL", "--")


def settings(lab: Lab) -> Path:
    """The operator's settings for this lab's hub: what SKERRY_CONFIG is to name."""
    return lab.hub_data / OPERATOR


def root_key(lab: Lab) -> Path:
    """The root's key, kept away from the hub's data, as everybody should."""
    return lab.hub_data.parent / "root.key"


def make_hub(lab: Lab, *options: str) -> None:
    """Keys, store and first admin of a hub that was never started. Leaves an existing one alone."""
    if not settings(lab).exists():
        _new_hub(lab, "init", *options)


def rebuild(lab: Lab) -> None:
    """A hub in the place of one whose data was lost, and nothing else of the mesh, but the root's key."""
    _new_hub(lab, "rebuild")


def _new_hub(lab: Lab, how: str, *options: str) -> None:
    lab.hub_data.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = software.bindir() / "skerry-hub"
    names = ["--mesh", "lab", "--region", "north", "--root-key", str(root_key(lab))]
    _run([str(command), how, *names, "--data", str(lab.hub_data), "--address", lab.hub_address, *options])
    text = settings(lab).read_text(encoding="utf-8")
    write_file(settings(lab), f'{text}socket = "{lab.api_socket}"\n'.encode())


def make(lab: Lab) -> None:
    """A running hub, and every node that is on a member."""
    make_hub(lab)
    lab.hub_start()
    nodes = [one.name for one in lab.status().nodes if one.state == "running"]
    if nodes:
        join(lab, nodes)


def join(lab: Lab, nodes: Sequence[str]) -> None:
    """Lets nodes in with one reusable token, all at once."""
    token = operator(lab, "token", "create", "--reusable", "--limit", str(len(nodes))).split()[0]
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        list(
            pool.map(
                lambda node: lab.run(node, ["skerry-agent", "join", token, "--name", node], timeout=60), nodes
            )
        )


def operator(lab: Lab, *words: str, check: bool = True, timeout: float = 120) -> str:
    """What `skerry WORDS` prints, asked of this lab's hub. With check a bad exit code is a LabError."""
    return ask(lab, *words, check=check, timeout=timeout).stdout


def ask(lab: Lab, *words: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """As `operator`, with the exit code and both outputs."""
    environ = os.environ | {"SKERRY_CONFIG": str(settings(lab))}
    return _run([str(software.bindir() / "skerry"), *words], environ, check, timeout)


def _run(
    argv: Sequence[str], environ: dict[str, str] | None = None, check: bool = True, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*_TIED, *argv],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"cannot run '{' '.join(argv)}': exit code {done.returncode}, {said}")
    return done


def restore(lab: Lab, file: Path) -> None:
    """Puts a backup back into the stopped hub."""
    _run([str(software.bindir() / "skerry-hub"), "restore", str(file), "--data", str(lab.hub_data)])


def paused(lab: Lab) -> tuple[str, ...]:
    """The nodes that hold what the hub never issued."""
    found = msgspec.json.decode(operator(lab, "hub", "resume", "--show", "--json"), type=ResumeView)
    return tuple(one.node for one in found.paused)
