"""A site's router: a network namespace with a LAN of nodes inside, an address outside, and a firewall in between.

There is no systemd in it, only links and rules. It is made when its first node boots or something is done to it, keeps
what it was told over its nodes' boots, and goes with the lab. Methods may be called from any thread. Must never run
outside of the keeper's namespaces.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from . import commands, internet, linux
from .addresses import NORMAL_MTU, Address, Nat, Outside, in_site
from .errors import LabError
from .layout import Direction, Host
from .rules import CUTS, LAN, WAN, Rules

_BRIDGE = Path("/proc/sys/net/bridge")
_CONNTRACK = Path("/proc/sys/net/netfilter")


class Router:
    def __init__(self, site: int) -> None:
        self.rules = Rules(site)
        self.outside = Outside(site)
        self.mtu = NORMAL_MTU
        self._inside = in_site(site)[0]
        self._built = False
        self._changing = threading.RLock()

    # --- its nodes

    def connect(self, host: Host, address: Address) -> None:
        """A new, empty namespace for a node that is about to boot, and its link."""
        self._be_there()
        linux.new_net(internet.namespace(host))
        commands.ip(
            [
                f"link add {host} type veth peer name eth0 netns {host} address {address.mac}",
                f"link set {host} addrgenmode none",
                f"link set {host} master {LAN}",
                f"link set {host} up",
            ],
            netns=self.outside.link,
        )
        commands.ip(internet.machines_end(address), netns=host)

    def disconnect(self, host: Host) -> None:
        """The namespace lives on for as long as a process is in it; the link goes at once."""
        if internet.namespace(host).exists():
            with suppress(LabError):  # its link may have failed to come about
                commands.ip([f"link del {host}"], netns=self.outside.link)
            linux.drop_net(internet.namespace(host))

    def cut(self, host: Host, direction: Direction) -> None:
        self._tell(internet.cutting("bridge links", host, direction))

    def heal(self, host: Host) -> None:
        self._tell(internet.healing("bridge links", host))

    # --- what it is like

    def translate(self, nat: Nat, udp_timeout: int | None) -> None:
        """Another NAT; every connection through the old one is forgotten, as by a router that was replaced."""
        with self._changing:
            self._be_there()
            was_open = self.rules.nat == "open"
            self.rules = replace(self.rules, nat=nat, udp_timeout=udp_timeout)
            if was_open or nat == "open":
                internet.route(self.outside, self._inside, nat == "open")
            linux.in_net(self._namespace, self._apply)

    def move(self) -> None:
        """Another outside address; the old one is dead at once, and so is every connection by it."""
        with self._changing:
            if self.rules.nat == "open":
                raise LabError(
                    "it has no NAT, so its nodes' own addresses are what others see ('skerry lab nat NODE cone')"
                )
            self._be_there()
            before, self.outside = self.outside, replace(self.outside, moves=self.outside.moves + 1)
            commands.ip(
                [
                    f"addr del {before.ipv4}/24 dev {WAN}",
                    f"addr del {before.ipv6}/64 dev {WAN}",
                    *self._outside_addresses(),
                ],
                netns=self.outside.link,
            )
            linux.in_net(self._namespace, linux.forget_connections)

    def narrow(self, mtu: int, silent: bool) -> None:
        """The path's MTU, between the router and the internet. silent: who sends more is not told."""
        with self._changing:
            self._be_there()
            internet.narrow(self.outside, mtu)
            commands.ip([f"link set {WAN} mtu {mtu}"], netns=self.outside.link)
            self.mtu = mtu
            self.rules = replace(self.rules, silent=silent)
            self._tell(self.rules.again())

    # --- how it comes about

    @property
    def _namespace(self) -> Path:
        return internet.namespace(self.outside.link)

    def _tell(self, rules: str) -> None:
        self._be_there()
        linux.in_net(self._namespace, lambda: commands.nft(rules))

    def _be_there(self) -> None:
        with self._changing:
            if not self._built:
                linux.new_net(self._namespace)
                internet.attach(self.outside, WAN)
                commands.ip([*self._lan(), *self._wan()], netns=self.outside.link)
                linux.in_net(self._namespace, self._settle)
                self._built = True

    def _lan(self) -> list[str]:
        return [
            "link set lo up",
            f"link add {LAN} address 02:53:4b:01:{self.rules.site:02x}:01 type bridge mcast_snooping 0",
            f"addr add {self._inside.router4}/24 dev {LAN}",
            f"addr add {self._inside.router6}/64 dev {LAN} nodad",
            *internet.own_link_local(LAN, "fe80::1"),
            f"link set {LAN} up",
        ]

    def _wan(self) -> list[str]:
        return [*internet.own_link_local(WAN, "fe80::2"), f"link set {WAN} up", *self._outside_addresses()]

    def _outside_addresses(self) -> list[str]:
        return [
            f"addr add {self.outside.ipv4}/24 dev {WAN}",
            f"addr add {self.outside.ipv6}/64 dev {WAN} nodad",
            f"route replace default via {self.outside.gateway4}",
            f"route replace ::/0 via {self.outside.gateway6}",
        ]

    def _settle(self) -> None:
        """In the router's namespace. What is bridged is no business of the rules for what is routed."""
        internet.forward_packets()
        for path in _BRIDGE.glob("bridge-nf-call-*"):
            path.write_text("0", "ascii")
        commands.nft(CUTS + self.rules.text())

    def _apply(self) -> None:
        """In the router's namespace."""
        commands.nft(self.rules.again())
        for name, seconds in zip(("", "_stream"), self.rules.timeouts(), strict=True):
            (_CONNTRACK / f"nf_conntrack_udp_timeout{name}").write_text(str(seconds), "ascii")
        linux.forget_connections()
