"""What a site's router is told: the text of its firewall, for each kind of NAT. Pure.

cone       Every inside UDP port has one outside port, whatever the destination, and what anybody sends to that comes in
           (endpoint-independent mapping and filtering, RFC 4787: a full cone), until nothing was sent from it for a
           while. The site's first machine keeps its port numbers; the second's are 65535 less its own, so that both may
           use the same. TCP has connection tracking's own mapping, and nothing comes in unasked.
symmetric  Another outside port for each connection, drawn at random; only the answers to it come in (address- and
           port-dependent mapping and filtering).
open       Nothing: inside addresses are routed.

Both families are treated alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .addresses import Nat, in_site

LAN, WAN = "LAN", "WAN"
KERNELS_TIMEOUT = (
    30,
    120,
)  # seconds that connection tracking keeps UDP: after one packet, and where both have talked

# A cut machine is not heard by its neighbours either; ARP goes on, or its own kernel would call the router unreachable.
CUTS = """
table bridge links {
    set up { type ifname; }
    set down { type ifname; }
    chain prerouting { type filter hook prerouting priority 0; iifname @up jump silence; }
    chain postrouting { type filter hook postrouting priority 0; oifname @down jump silence; }
    chain silence {
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        ether type { ip, ip6 } drop
    }
}
"""
_TOO_BIG = (
    "icmp type destination-unreachable icmp code frag-needed drop",
    "icmpv6 type packet-too-big drop",
)


@dataclass(frozen=True)
class Rules:
    """`udp_timeout`: how many seconds a UDP mapping lives; None is as the kernel has it. `silent`: nobody hears that a
    packet was too big."""

    site: int
    nat: Nat = "cone"
    udp_timeout: int | None = None
    silent: bool = False

    def text(self) -> str:
        """One transaction, where there were no rules before."""
        return "\n".join(
            [
                "table inet router {",
                *({"open": (), "cone": self._cone(), "symmetric": self._symmetric()}[self.nat]),
                *_chain("silent", "filter hook postrouting priority 0", _TOO_BIG if self.silent else ()),
                "}\n",
            ]
        )

    def again(self) -> str:
        """One transaction that replaces what was there. It takes the kernel a while to delete rules."""
        return "table inet router\ndelete table inet router\n" + self.text()

    def timeouts(self) -> tuple[int, int]:
        """For connection tracking, in seconds."""
        return KERNELS_TIMEOUT if self.udp_timeout is None else (self.udp_timeout, self.udp_timeout)

    def _symmetric(self) -> Iterator[str]:
        yield from _postrouting(f"oifname {WAN} masquerade fully-random")
        yield from _closed()

    def _cone(self) -> Iterator[str]:
        seen, come_in, go_out = [], [], []
        for family, ours, ports, port in self._mapped():
            there = f"oifname {WAN} {family} saddr {ours} meta l4proto udp"
            seen.append(f"{there} update @{ports} {{ udp sport{port} }}")
            into = f"udp dport @{ports} dnat {family} to {_with_port(family, ours, port)}"
            version = "ipv4" if family == "ip" else "ipv6"
            come_in.append(f"iifname {WAN} fib daddr type local meta nfproto {version} {into}")
            if port:
                go_out.append(f"{there} masquerade to :udp sport{port}")
        yield from (self._set(ports) for ports in dict.fromkeys(ports for _, _, ports, _ in self._mapped()))
        yield from _chain("seen", "filter hook forward priority -1", seen)
        yield from _chain("prerouting", "nat hook prerouting priority dstnat", come_in)
        yield from _postrouting(*go_out, f"oifname {WAN} masquerade")
        yield from _closed()

    def _mapped(self) -> Iterator[tuple[str, str, str, str]]:
        """(family, inside address, the set of outside ports in use, how a port becomes the other)."""
        for index, machine in enumerate(in_site(self.site)):
            port = " ^ 0xffff" if index else ""
            yield "ip", machine.ipv4, f"ports{index}", port
            yield "ip6", machine.ipv6, f"ports{index}", port

    def _set(self, name: str) -> str:
        return f"set {name} {{ type inet_service; flags dynamic,timeout; timeout {self.timeouts()[1]}s; }}"


def _with_port(family: str, address: str, port: str) -> str:
    if not port:
        return address
    return f"{address if family == 'ip' else f'[{address}]'}:udp dport{port}"


def _postrouting(*rules: str) -> Iterator[str]:
    return _chain("postrouting", "nat hook postrouting priority srcnat", rules)


def _closed() -> Iterator[str]:
    """What nobody inside asked for, and was not sent to a mapped port, is dropped without a word."""
    yield from _chain(
        "forward",
        "filter hook forward priority 0",
        [f"iifname {WAN} ct state {{ new, invalid }} ct status & dnat != dnat drop"],
    )
    yield from _chain(
        "input",
        "filter hook input priority 0",
        [
            f"iifname {WAN} ct state {{ established, related }} accept",
            f"iifname {WAN} meta l4proto {{ icmp, ipv6-icmp }} accept",
            f"iifname {WAN} drop",
        ],
    )


def _chain(name: str, kind: str, rules: Iterator[str] | tuple[str, ...] | list[str]) -> Iterator[str]:
    yield f"chain {name} {{"
    yield f"type {kind};"
    yield from rules
    yield "}"
