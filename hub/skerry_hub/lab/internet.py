"""The lab's small internet: a router in the keeper's own network namespace, with one link to each machine.

Each machine is a site of its own: it has a network namespace, a veth link to the router, and fixed addresses. A cut
drops its packets at the router: the link stays up and nobody hears a word, as on a broken path. There is no way out to
the host or beyond. Must never run outside of the keeper's namespaces.
"""

from __future__ import annotations

from pathlib import Path

from . import commands
from .layout import Address, Direction, Host

_RULES = """
table inet skerry_lab {
    set up { type ifname; }
    set down { type ifname; }
    chain input { type filter hook input priority 0; iifname @up drop; }
    chain forward { type filter hook forward priority 0; iifname @up drop; oifname @down drop; }
    chain output { type filter hook output priority 0; oifname @down drop; }
}
"""
_SETS: dict[Direction, tuple[str, ...]] = {"both": ("up", "down"), "up": ("up",), "down": ("down",)}


def build() -> None:
    """Makes the namespace that the caller is in a router."""
    commands.ip(["link set lo up"])
    for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        Path("/proc/sys/net", path).write_text("1", "ascii")
    commands.nft(_RULES)


def namespace(host: Host) -> Path:
    return Path("/run/netns") / host


def connect(host: Host, address: Address) -> None:
    """A new, empty namespace for a machine that is about to boot, and its link."""
    commands.call(["ip", "netns", "add", host])
    commands.ip(
        [
            f"link add {host} type veth peer name eth0 netns {host} address {address.mac}",
            f"addr add {address.router4}/24 dev {host}",
            f"addr add {address.router6}/64 dev {host} nodad",
            *_own_link_local(host, "fe80::1"),
            f"link set {host} up",
        ]
    )
    commands.ip(
        [
            "link set lo up",
            f"addr add {address.ipv4}/24 dev eth0",
            f"addr add {address.ipv6}/64 dev eth0 nodad",
            *_own_link_local("eth0", "fe80::2"),
            "link set eth0 up",
            f"route add default via {address.router4}",
            f"route add ::/0 via {address.router6}",
        ],
        netns=host,
    )


def _own_link_local(link: str, address: str) -> list[str]:
    """The kernel's own is of no use for a second, while it looks for duplicates: a boot is faster."""
    return [f"link set {link} addrgenmode none", f"addr add {address}/64 dev {link} nodad"]


def disconnect(host: Host) -> None:
    """The namespace lives on for as long as a process is in it; the link goes at once."""
    if namespace(host).exists():
        commands.ip([f"link del {host}", f"netns del {host}"])


def cut(host: Host, direction: Direction) -> None:
    """Holds over power cuts and boots, until healed."""
    heal(host)
    commands.nft("".join(f'add element inet skerry_lab {name} {{ "{host}" }}\n' for name in _SETS[direction]))


def heal(host: Host) -> None:
    """Adding before deleting makes it fine if it was not cut; it is one transaction."""
    changes = (
        f'{verb} element inet skerry_lab {name} {{ "{host}" }}\n'
        for name in _SETS["both"]
        for verb in ("add", "delete")
    )
    commands.nft("".join(changes))
