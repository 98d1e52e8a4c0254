"""The keeper: the one process that holds a lab and answers on its control socket.

It runs inside the lab's own namespaces, as the child of their first process: when either ends, in whatever way, the
kernel ends every process, interface and mount of the lab. It therefore tidies nothing. Must never touch the host's
network, mounts or units.
"""

from __future__ import annotations

import socketserver
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import msgspec

from . import internet
from .addresses import Address
from .errors import LabError
from .forward import Forwarder
from .hubproc import HubProcess
from .layout import HUB, MOST_NODES, Config, Direction, Host, Paths, hosts_file, node_names
from .node import Node
from .router import Router
from .sites import Sites, described
from .wire import Host as HostStatus
from .wire import Reply, Request, Status, Verb

Ready = Callable[[str], None]

_HUB_STOP = 10.0
_AT_ONCE = 8  # boots that run side by side; more make each other slow


class Keeper:
    """What is asked for, done. One request is one method."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.paths = Paths(config.name)
        self.cuts: dict[Host, Direction] = {}
        self.nodes: dict[Host, Node] = {}
        self.sites = Sites()
        self.forwarder = Forwarder(self.paths.api, Address(0))
        self.hub = HubProcess(Address(0), config, self.forwarder.reachable)
        self._changing = threading.Lock()
        self._verbs: dict[Verb, Callable[[Request], None]] = {
            "status": lambda _: None,
            "add": self._add,
            "boot": lambda request: self._each(request, lambda node: node.boot(request.seconds)),
            "reboot": lambda request: self._each(request, lambda node: node.reboot(request.seconds)),
            "poweroff": lambda request: self._each(request, lambda node: _power_off(node, request)),
            "wait": lambda request: self._each(
                request, lambda node: node.await_running(request.seconds, request.boots)
            ),
            "cut": self._cut,
            "heal": self._heal,
            "nat": lambda request: self._rebuild(self.sites.translate, request),
            "mtu": lambda request: self._rebuild(self.sites.narrow, request),
            "move": lambda request: self._rebuild(lambda hosts, _: self.sites.move(hosts), request),
            "pause": self._pause,
            "resume": self._resume,
            "hub-start": lambda request: self.hub.start(request.seconds, request.options),
            "hub-stop": lambda _: self.hub.stop(_HUB_STOP),
            "hub-kill": lambda request: self.hub.kill(everything=not request.clean),
            "hub-wipe": lambda _: self.hub.wipe(_HUB_STOP),
        }

    def make(self) -> None:
        """The internet, the hub's link, and every node's disk; nothing runs yet."""
        internet.build()
        self.hub.make()
        for name in self.config.nodes:
            self._new_node(Host(name))
        self._write_hosts()
        self.forwarder.start()

    def answer(self, request: Request) -> Reply:
        try:
            self._verbs[request.do](request)
        except LabError as error:
            return Reply(error=str(error))
        return Reply(status=self.status())

    def status(self) -> Status:
        nodes = (
            described(
                HostStatus(node.host, node.state, node.address.ipv4, self.cuts.get(node.host), node.boots),
                node.router,
            )
            for node in self.nodes.values()
        )
        hub = HostStatus(HUB, self.hub.state(), Address(0).ipv4, self.cuts.get(HUB), self.hub.starts)
        return Status(tuple(nodes), hub)

    def _new_node(self, host: Host, copy_of: Node | None = None) -> None:
        if host in self.nodes:
            raise LabError(f"cannot add {host}: there is one already")
        if len(self.nodes) >= MOST_NODES:
            raise LabError(f"cannot add {host}: a lab has {MOST_NODES} nodes at most")
        address = Address(len(self.nodes) + 1)
        node = Node(host, address, self.sites.router(address), self.config)
        node.disk.make(copy_of.disk if copy_of else None)
        self.nodes[host] = node

    def _add(self, request: Request) -> None:
        with self._changing:
            for name in node_names(request.hosts):
                self._new_node(Host(name), self._node(request.copy_of) if request.copy_of else None)
            self._write_hosts()

    def _write_hosts(self) -> None:
        text = hosts_file({HUB: Address(0)} | {node.host: node.address for node in self.nodes.values()})
        Path("/run/hosts").write_text(text, "utf-8")
        for node in self.nodes.values():
            node.disk.write("etc/hosts", text)

    def _node(self, name: str) -> Node:
        node = self.nodes.get(Host(name))
        if node is None:
            raise LabError(f"cannot find a node '{name}': this lab has {', '.join(self.nodes) or 'none'}")
        return node

    def _host(self, name: str) -> Host:
        return HUB if name == HUB else self._node(name).host

    def _each(self, request: Request, act: Callable[[Node], None]) -> None:
        """Side by side. All are tried; the faults come together."""
        nodes = [self._node(name) for name in request.hosts]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            faults = [fault for fault in pool.map(lambda node: _fault_of(act, node), nodes) if fault]
        if faults:
            raise LabError("\n".join(faults))

    def _cut(self, request: Request) -> None:
        with self._changing:
            for host in self._hosts(request):
                self._link(host).cut(host, request.direction)
                self.cuts[host] = request.direction

    def _heal(self, request: Request) -> None:
        with self._changing:
            for host in self._hosts(request):
                self._link(host).heal(host)
                self.cuts.pop(host, None)

    def _link(self, host: Host) -> Router | ModuleType:
        """Who drops a machine's packets."""
        return internet if host == HUB else self.nodes[host].router

    def _rebuild(self, change: Callable[[dict[Host, Router], Request], None], request: Request) -> None:
        """Something about the routers of nodes."""
        nodes = [self._node(name) for name in request.hosts]
        with self._changing:
            change({node.host: node.router for node in nodes}, request)

    def _hosts(self, request: Request) -> Iterable[Host]:
        return [self._host(name) for name in request.hosts]

    def _pause(self, request: Request) -> None:
        for host in self._hosts(request):
            self.hub.pause(True) if host == HUB else self.nodes[host].pause()

    def _resume(self, request: Request) -> None:
        for host in self._hosts(request):
            self.hub.pause(False) if host == HUB else self.nodes[host].resume()


def _power_off(node: Node, request: Request) -> None:
    if request.clean:
        node.shut_down(request.seconds)
    else:
        node.cut_power()


def _fault_of(act: Callable[[Node], None], node: Node) -> str | None:
    try:
        act(node)
    except LabError as error:
        return str(error)
    return None


class _Handler(socketserver.StreamRequestHandler):
    keeper: Keeper

    def handle(self) -> None:
        try:
            request = msgspec.json.decode(self.rfile.readline(65536), type=Request)
            reply = self.keeper.answer(request)
        except msgspec.DecodeError as error:
            reply = Reply(error=f"cannot read the request: {error}")
        except Exception as error:  # noqa: BLE001 - the edge of the process: the asker hears of it, the log has it all
            traceback.print_exc()
            reply = Reply(error=f"cannot do it: {error!r} (see {self.keeper.paths.log})")
        self.wfile.write(msgspec.json.encode(reply) + b"\n")


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def run(config: Config, ready: Ready) -> None:
    """Serves until it is killed. `ready` is told once: "ok" or why the lab could not be made."""
    try:
        keeper = Keeper(config)
        keeper.make()
        handler = type("Handler", (_Handler,), {"keeper": keeper})
        server = _Server(str(keeper.paths.control), handler)
    except (LabError, OSError) as error:
        traceback.print_exc()
        ready(str(error))
        sys.exit(1)
    ready("ok")
    server.serve_forever()
