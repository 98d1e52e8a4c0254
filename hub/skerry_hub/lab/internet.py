"""The lab's small internet: the keeper's own network namespace, with one link to the hub and one to each site's router.

The hub is directly on it, nodes are behind routers (see router). A cut drops a machine's packets: the link stays up and
nobody hears a word, as on a broken path. There is no way out to the host or beyond. Must never run outside of the
keeper's namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from . import commands, linux
from .addresses import LEAST_MTU, NORMAL_MTU, Address, Outside
from .errors import LabError
from .layout import Direction, Host

_RULES = """
table inet skerry_lab {
    set up { type ifname; }
    set down { type ifname; }
    chain input { type filter hook input priority 0; iifname @up drop; }
    chain forward { type filter hook forward priority 0; iifname @up drop; oifname @down drop; }
    chain output { type filter hook output priority 0; oifname @down drop; jump silent; }
    chain silent { }
}
"""
_SETS: dict[Direction, tuple[str, ...]] = {"both": ("up", "down"), "up": ("up",), "down": ("down",)}


def build() -> None:
    """Makes the namespace that the caller is in the internet."""
    commands.ip(["link set lo up"])
    forward_packets()
    commands.nft(_RULES)


def forward_packets() -> None:
    """Makes the calling thread's namespace a router."""
    for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        Path("/proc/sys/net", path).write_text("1", "ascii")


def namespace(host: str) -> Path:
    return Path("/run/netns") / host


def connect(host: Host, address: Address) -> None:
    """A new, empty namespace for a machine that is directly on the internet, and its link."""
    linux.new_net(namespace(host))
    commands.ip(
        [
            f"link add {host} type veth peer name eth0 netns {host} address {address.mac}",
            f"addr add {address.router4}/24 dev {host}",
            f"addr add {address.router6}/64 dev {host} nodad",
            *own_link_local(host, "fe80::1"),
            f"link set {host} up",
        ]
    )
    commands.ip(machines_end(address), netns=host)


def machines_end(address: Address) -> list[str]:
    """What a machine has to say to its own link."""
    return [
        "link set lo up",
        f"addr add {address.ipv4}/24 dev eth0",
        f"addr add {address.ipv6}/64 dev eth0 nodad",
        *own_link_local("eth0", f"fe80::{address.ipv6.rpartition(':')[2]}"),
        "link set eth0 up",
        f"route add default via {address.router4}",
        f"route add ::/0 via {address.router6}",
    ]


def own_link_local(link: str, address: str) -> list[str]:
    """The kernel's own is of no use for a second, while it looks for duplicates: a boot is faster."""
    return [f"link set {link} addrgenmode none", f"addr add {address}/64 dev {link} nodad"]


def attach(outside: Outside, link: str) -> None:
    """A site's router gets its link to the internet; it is called `link` in the router's namespace."""
    commands.ip(
        [
            f"link add {outside.link} type veth peer name {link} netns {outside.link}",
            f"addr add {outside.gateway4}/24 dev {outside.link}",
            f"addr add {outside.gateway6}/64 dev {outside.link} nodad",
            *own_link_local(outside.link, "fe80::1"),
            f"link set {outside.link} up",
        ]
    )


def route(outside: Outside, inside: Address, there: bool) -> None:
    """Whether what is sent to a site's inside addresses finds the way."""
    commands.ip(
        [
            f"route {'replace' if there else 'del'} {network} via {router}"
            for network, router in (
                (f"10.77.{inside.site}.0/24", outside.ipv4),
                (f"fd77:0:0:{inside.site:x}::/64", outside.ipv6),
            )
        ]
    )


def narrow(outside: Outside, mtu: int) -> None:
    """The internet's end of a site's link; its router has the other."""
    if not LEAST_MTU <= mtu <= NORMAL_MTU:
        raise LabError(f"cannot set an MTU of {mtu}: a path takes {LEAST_MTU} to {NORMAL_MTU}")
    commands.ip([f"link set {outside.link} mtu {mtu}"])


def silence(sites: Iterable[int]) -> None:
    """These are the sites of which nobody is told that a packet to them was too big. An error quotes the packet that
    it is about, so what it is about stands in it: the network of the packet's destination."""
    errors = ("icmp type destination-unreachable icmp code frag-needed", "icmpv6 type packet-too-big")
    lines = ["flush chain inet skerry_lab silent"]
    for site in sites:
        for net4, net6 in ((0x0A4D, 0xFD77), (0x0A4E, 0xFD78)):
            about = (f"@th,192,24 {net4 << 8 | site:#x}", f"@th,256,64 {net6 << 48 | site:#x}")
            lines += [
                f"add rule inet skerry_lab silent {error} {quoted} drop"
                for error, quoted in zip(errors, about, strict=True)
            ]
    commands.nft("\n".join([*lines, ""]))


def cut(host: Host, direction: Direction) -> None:
    """Of a machine that is directly on the internet."""
    commands.nft(cutting("inet skerry_lab", host, direction))


def heal(host: Host) -> None:
    commands.nft(healing("inet skerry_lab", host))


def cutting(table: str, host: Host, direction: Direction) -> str:
    """Holds over power cuts and boots, until healed."""
    cuts = (f'add element {table} {name} {{ "{host}" }}\n' for name in _SETS[direction])
    return "".join([healing(table, host), *cuts])


def healing(table: str, host: Host) -> str:
    """Adding before deleting makes it fine if it was not cut; it is one transaction."""
    return "".join(
        f'{verb} element {table} {name} {{ "{host}" }}\n'
        for name in _SETS["both"]
        for verb in ("add", "delete")
    )
