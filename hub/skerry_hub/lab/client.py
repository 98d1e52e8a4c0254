"""The lab as its users see it: a Lab object, which asks the keeper, and enters machines to run commands in them.

Order of calls: up, anything, down; or `with Lab(name) as lab`, which ends what was put up in it. Any process on the
host may hold a Lab of the same name at the same time.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from . import enter, leftovers, lifetime, preflight, software
from .addresses import Address, Nat
from .asking import ask
from .errors import LabError
from .layout import HUB, HUB_PORT, Config, Direction, Disks, Host, Paths, lab_name, node_names, root
from .wire import Host as HostStatus
from .wire import Request, Status

Result = subprocess.CompletedProcess[str]


class Lab:
    """Every method raises LabError, with one line for people, when it cannot do what it says."""

    def __init__(self, name: str = "lab") -> None:
        self.paths = Paths(lab_name(name))
        self._tie: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # --- the whole

    def up(
        self,
        nodes: int | Sequence[str] = 3,
        *,
        hub: bool = True,
        hub_argv: Sequence[str] | None = None,
        units: Path | None = None,
        visible: Sequence[Path] = (),
        disks: Disks = "memory",
        tied: bool = False,
        boot: bool = True,
        seconds: float = 60.0,
    ) -> Status:
        """Makes the lab, starts the hub and boots all nodes; on failure nothing is left.

        hub_argv: `{data}` and `{listen}` in it are replaced. units: a folder instead of the checkout's
        packaging/units. visible: more folders that nodes are to see as on the host. tied: the lab ends when this
        process does, however that happens.
        """
        names = node_names(nodes if isinstance(nodes, int) else tuple(nodes))
        preflight.check(len(names))
        leftovers.sweep()
        units = units or software.units()
        config = Config(
            name=self.paths.name,
            nodes=names,
            hub_argv=tuple(hub_argv or software.hub_argv()),
            bindir=str(software.bindir()),
            units=str(units) if units else None,
            visible=tuple(str(path) for path in software.visible(visible)),
            disks=disks,
        )
        self._start(config, tied)
        try:
            return self._power_on(names if boot else (), hub, seconds)
        except BaseException:
            self.down()
            raise

    def _start(self, config: Config, tied: bool) -> None:
        if not tied:
            lifetime.start(config)
            return
        read, self._tie = os.pipe()
        try:
            lifetime.start(config, read)
        finally:
            os.close(read)

    def _power_on(self, names: Sequence[str], hub: bool, seconds: float) -> Status:
        """All at once."""
        requests = [Request("boot", hosts=tuple(names), seconds=seconds)] if names else []
        requests += [Request("hub-start", seconds=seconds)] if hub else []
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda request: ask(self.paths, request), requests))
        return self.status()

    def down(self) -> bool:
        """Ends it and removes every trace, also of one whose processes were killed. Says whether there was any."""
        there = lifetime.end(self.paths)
        if self._tie is not None:
            os.close(self._tie)
            self._tie = None
        return there

    def status(self) -> Status:
        return ask(self.paths, Request("status"))

    def node(self, name: str) -> HostStatus:
        for node in self.status().nodes:
            if node.name == name:
                return node
        raise LabError(f"cannot find a node '{name}' in the lab '{self.paths.name}'")

    # --- links

    def cut(self, *hosts: str, direction: Direction = "both") -> None:
        """Drops packets at the router, silently. A host is a node or 'hub'. Holds over boots."""
        ask(self.paths, Request("cut", hosts=hosts, direction=direction))

    def heal(self, *hosts: str) -> None:
        ask(self.paths, Request("heal", hosts=hosts))

    def nat(self, *nodes: str, kind: Nat, udp_timeout: int | None = None) -> None:
        """What their routers do from now on; connections through them are forgotten. Holds for all nodes behind one.

        udp_timeout: how many seconds a UDP mapping lives that is not used; without, as the kernel has it.
        """
        ask(self.paths, Request("nat", hosts=nodes, nat=kind, udp_timeout=udp_timeout))

    def mtu(self, *nodes: str, mtu: int, silent: bool = False) -> None:
        """Of the path between their routers and the internet. silent: who sends what is too big is not told."""
        ask(self.paths, Request("mtu", hosts=nodes, mtu=mtu, silent=silent))

    def move(self, *nodes: str) -> None:
        """Their routers get another outside address; the old one is dead at once."""
        ask(self.paths, Request("move", hosts=nodes))

    # --- power

    def add(self, name: str, *, copy_of: str | None = None) -> None:
        """One more node, switched off. copy_of: a clone of that node's disk, identity and all; it must be off."""
        if copy_of is not None and self.node(copy_of).state != "off":
            raise LabError(
                f"cannot copy the disk of {copy_of}: it is in use ('skerry lab poweroff {copy_of}')"
            )
        ask(self.paths, Request("add", hosts=(name,), copy_of=copy_of))

    def boot(self, *nodes: str, seconds: float = 60.0) -> None:
        """Returns when systemd has no job left to do."""
        preflight.check_boot(len(nodes))
        ask(self.paths, Request("boot", hosts=nodes, seconds=seconds))

    def poweroff(self, *nodes: str, clean: bool = False, seconds: float = 60.0) -> None:
        """A power cut: every process dies at once, the disk stays as it is. clean: a shutdown instead."""
        ask(self.paths, Request("poweroff", hosts=nodes, clean=clean, seconds=seconds))

    def reboot(self, *nodes: str, seconds: float = 60.0) -> None:
        """A clean one; returns when it runs again."""
        ask(self.paths, Request("reboot", hosts=nodes, seconds=seconds))

    def await_boot(self, node: str, boots: int, seconds: float = 60.0) -> None:
        """Until a node that reboots by itself runs in its boot of that number, or a later one (Host.boots tells)."""
        ask(self.paths, Request("wait", hosts=(node,), boots=boots, seconds=seconds))

    def pause(self, *hosts: str) -> None:
        """Freezes the machine from outside; its clocks go on."""
        ask(self.paths, Request("pause", hosts=hosts))

    def resume(self, *hosts: str) -> None:
        ask(self.paths, Request("resume", hosts=hosts))

    # --- inside of nodes

    def argv(self, node: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> list[str]:
        """What to execute on the host to run argv in a node."""
        return enter.in_node(self.paths, Host(node), argv, env or {}, str(software.bindir()))

    def run(
        self,
        node: str,
        argv: Sequence[str],
        *,
        check: bool = True,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        timeout: float | None = 30.0,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """As root. With check a bad exit code is a LabError that has what was said."""
        return _finish(self.argv(node, argv, env), f"{node}: {' '.join(argv)}", check, input, timeout)

    def popen(
        self, node: str, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """For what runs on beside the test; output and input are pipes."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.argv(node, argv, env), stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def kill_agent(self, node: str, signal: str = "KILL") -> None:
        """To the agent's main process alone. STOP makes it hang."""
        self.run(
            node, ["systemctl", "kill", "--kill-whom=main", f"--signal={signal}", "skerry-agent.service"]
        )

    def root(self, node: str) -> Path:
        """The node's disk as a folder on the host, also while the node is off; its /run and /tmp are not in it."""
        return enter.in_keeper(self.paths, root(Host(node)))

    # --- the hub

    @property
    def hub_address(self) -> str:
        """host:port, as nodes reach it."""
        return f"{Address(0).ipv4}:{HUB_PORT}"

    @property
    def api_socket(self) -> Path:
        """A unix socket on the host that leads to the hub's port, also while the hub is cut off."""
        return self.paths.api

    @property
    def hub_data(self) -> Path:
        return self.paths.hub_data

    @property
    def hub_log(self) -> Path:
        return self.paths.hub_log

    def hub_start(self, options: Sequence[str] = (), seconds: float = 60.0) -> None:
        """Returns when its port answers. `options`: of `skerry-hub run`, for this run alone."""
        ask(self.paths, Request("hub-start", options=tuple(options), seconds=seconds))

    def hub_stop(self) -> None:
        """SIGTERM, then SIGKILL after 10 s."""
        ask(self.paths, Request("hub-stop"))

    def hub_kill(self, *, everything: bool = False) -> None:
        """SIGKILL to the hub's own process; everything: to all it started too."""
        ask(self.paths, Request("hub-kill", clean=not everything))

    def hub_wipe(self) -> None:
        """Stops it and deletes its data."""
        ask(self.paths, Request("hub-wipe"))

    def hub_argv(self, argv: Sequence[str]) -> list[str]:
        """What to execute on the host to run argv in the hub's network."""
        return enter.beside_hub(self.paths, argv)

    def hub_exec(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        timeout: float | None = 30.0,
    ) -> Result:
        """In the hub's network namespace, with the caller's environment and working folder."""
        return _finish(self.hub_argv(argv), f"{HUB}: {' '.join(argv)}", check, input, timeout)


def _finish(argv: Sequence[str], what: str, check: bool, text: str | None, timeout: float | None) -> Result:
    try:
        stdin = {"input": text} if text is not None else {"stdin": subprocess.DEVNULL}
        done: Result = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=timeout, **stdin
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"cannot wait for '{what}': it still ran after {timeout:g} s") from None
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or "it said nothing"
        raise LabError(f"cannot run '{what}': exit code {done.returncode}, {said}")
    return done
