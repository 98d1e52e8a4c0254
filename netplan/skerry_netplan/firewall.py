"""The firewall of a node as one table of nft(8): who may talk to which instance, on both ends, and nothing more.

The table is Skerry's own and is replaced whole, in one transaction; the admin's tables are left alone. It judges what
passes an instance's interface or a tunnel, and lets all else through, with one exception: forwarding had to be switched
on for the whole machine, and what the machine did not forward before stays shut (`forwards`), but for bridges of its
own guests (`inner`): who makes those, perhaps later, judges what passes there.

Every text in it comes from addresses, numbers and device names that were parsed; names of people's choice never do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network

from skerry_protocol.ids import AppName, InstanceId
from skerry_protocol.network import AppNetwork, Network, Port

from .address import node_address
from .state import DIRECT, HUB_LINK, LINK, Rules, Space

TABLE, HUB_TABLE = "inet skerry", "inet skerry_hub"  # one machine may be both
MESH = f'{{ "{LINK}", "{DIRECT}" }}'
OURS = f'{{ "{LINK}", "{DIRECT}", "sk-*" }}'
INSIDE = f'{{ "lo", "{LINK}", "{DIRECT}", "{HUB_LINK}", "sk-*" }}'
DSTNAT = -100  # dstnat by name is refused on the output hook
_ICMP6 = "{ echo-request, nd-neighbor-solicit, nd-neighbor-advert }"


@dataclass(frozen=True)
class Guarded:
    """Whose copy an instance is, and what its app says of the network."""

    app: AppName
    network: AppNetwork


def rules(
    plan: Network,
    spaces: Mapping[InstanceId, Space],
    guarded: Mapping[InstanceId, Guarded],
    open_ports: Iterable[Port] = (),
    forwards: bool = False,
    hosted: Iterable[Guarded] = (),
    inner: Collection[str] = (),
) -> Rules:
    """The whole table. `open_ports`: the node's own that the mesh may reach; `forwards`: as the machine was before.
    `inner`: bridges of its own guests.

    An instance without a word in `guarded` hears nobody and reaches nobody. `hosted`: copies on the node's own network,
    which have no instance here.
    """
    known = [(space, guarded[name]) for name, space in sorted(spaces.items()) if name in guarded]
    lines = [
        *_set("known", "ifname", (f'"{space.device}"' for space, _ in known)),
        *_set("own6", "ifname . ipv6_addr", (f'"{one.device}" . {one.address}' for one, _ in known)),
        *_set(
            "own4",
            "ifname . ipv4_addr",
            (f'"{one.device}" . {one.address4}' for one, _ in known if one.address4),
        ),
        *_chain("input", "filter hook input priority filter", _input(plan, open_ports, hosted)),
        *(line for space, app in known for line in _judges(plan, space, app)),
        *_goes("out_of", (space for space, _ in known)),
        *_goes("into", (space for space, _ in known)),
        *_chain("forward", "filter hook forward priority filter", _forward(forwards, inner)),
        *_chain("sources", "filter hook prerouting priority raw", _sources(plan)),
        *_chain("published", "nat hook prerouting priority dstnat", _published(known)),
        *_chain("published_here", f"nat hook output priority {DSTNAT}", _published(known)),
        *_chain(
            "leaving", "nat hook postrouting priority srcnat", _leaving(plan, (space for space, _ in known))
        ),
    ]
    return _framed(TABLE, lines)


def hub_rules(
    whole: str, own: str, services: Iterable[Port], forwards: bool = False, inner: Collection[str] = ()
) -> Rules:
    """The table of a hub: nodes reach its services and each other, and nobody else comes or goes through the tunnel.

    Where the machine is a node too, that one's table judges what is its instances'; a word of either to drop is final.
    `whole`: the mesh's network; `own`: the hub's address there.
    """
    lines = [
        *_chain("input", "filter hook input priority filter", _hub_input(whole, own, services)),
        *_chain("forward", "filter hook forward priority filter", _hub_forward(forwards, inner)),
    ]
    return _framed(HUB_TABLE, lines)


def _framed(table: str, lines: list[str]) -> Rules:
    """Replaces what there was in one transaction: the first line is for where there was nothing."""
    mark = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
    head = (f"table {table}", f"delete table {table}", f"table {table} {{", f'\tcomment "skerry {mark}"')
    return Rules(mark, "\n".join([*head, *lines, "}", ""]))


def _hub_input(whole: str, own: str, services: Iterable[Port]) -> Iterator[str]:
    """Who sends to the hub's address in the mesh past all tunnels is outside, and by the mesh's addresses nobody is."""
    yield f"iifname != {INSIDE} ip6 saddr {whole} drop"
    yield f"iifname != {INSIDE} ip6 daddr {own} drop"
    yield f'iifname != "{HUB_LINK}" accept'
    yield "ct state established,related accept"
    yield f"icmpv6 type {_ICMP6} accept"
    yield from (f"{port.transport} dport {port.number} accept" for port in services)
    yield "drop"


def _hub_forward(forwards: bool, inner: Collection[str]) -> Iterator[str]:
    yield f'iifname "{HUB_LINK}" oifname "{HUB_LINK}" tcp flags syn / syn,rst tcp option maxseg size set rt mtu'
    yield f'iifname "{HUB_LINK}" oifname {{ "{HUB_LINK}", "sk-*" }} accept'
    yield f'iifname "sk-*" oifname "{HUB_LINK}" accept'
    yield f'iifname "{HUB_LINK}" drop'
    yield f'oifname "{HUB_LINK}" drop'
    if not forwards:
        yield f"iifname {OURS} accept"
        yield f"oifname {OURS} accept"
        yield from _shut(inner)


def _chain(name: str, hook: str | None, body: Iterable[str]) -> Iterator[str]:
    yield f"\tchain {name} {{"
    if hook:
        yield f"\t\ttype {hook}; policy accept;"
    yield from (f"\t\t{line}" for line in body)
    yield "\t}"


def _set(name: str, of: str, found: Iterable[str]) -> Iterator[str]:
    yield f"\tset {name} {{"
    yield f"\t\ttype {of}"
    yield from _elements(found)
    yield "\t}"


def _goes(way: str, spaces: Iterable[Space]) -> Iterator[str]:
    """Which chain judges what comes out of an interface, or goes into it: one look, however many there are."""
    yield f"\tmap {way} {{"
    yield "\t\ttype ifname : verdict"
    yield from _elements(f'"{space.device}" : jump {way}_{_mark(space)}' for space in spaces)
    yield "\t}"


def _elements(found: Iterable[str]) -> Iterator[str]:
    text = ", ".join(found)
    if text:
        yield f"\t\telements = {{ {text} }}"


def _input(plan: Network, open_ports: Iterable[Port], hosted: Iterable[Guarded]) -> Iterator[str]:
    """To the node itself: answers, pings, what its policy opens to the mesh; and names, for its own instances.

    And who reaches a copy on the node's own network, at the address by which the mesh knows it. What such a copy begins
    itself is the machine's, and is judged at the other end alone: nothing here tells it from the rest of the machine.
    """
    yield f"iifname != {OURS} accept"
    yield "ct state established,related accept"
    yield f"icmpv6 type {_ICMP6} accept"
    for port in open_ports:
        yield f"iifname {MESH} {port.transport} dport {port.number} accept"
    yield 'iifname "sk-*" meta l4proto { tcp, udp } th dport 53 accept'
    own = node_address(IPv6Network(plan.node))
    # A set, because copies of one app are let in by the same lines.
    yield from sorted({f"ip6 daddr {own} {match} accept" for app in hosted for match in _callers(plan, app)})
    yield "drop"


def _forward(forwards: bool, inner: Collection[str]) -> Iterator[str]:
    """First what an instance sends is judged, then what one is to get: between two of one machine it is both."""
    yield f"oifname {MESH} tcp flags syn / syn,rst tcp option maxseg size set rt mtu"
    yield f"iifname {MESH} tcp flags syn / syn,rst tcp option maxseg size set rt mtu"
    yield f'iifname "{HUB_LINK}" oifname "{HUB_LINK}" accept'
    yield "ct state established,related accept"
    yield 'iifname "sk-*" iifname != @known drop'
    yield "iifname vmap @out_of"
    yield "oifname vmap @into"
    yield 'oifname "sk-*" drop'
    yield 'iifname "sk-*" accept'
    yield f"iifname {MESH} drop"
    yield f"oifname {MESH} drop"
    if not forwards:
        yield from _shut(inner)


def _shut(inner: Collection[str]) -> Iterator[str]:
    """What the machine did not forward before, it does not now."""
    if inner:
        names = f"{{ {', '.join(f'{chr(34)}{name}{chr(34)}' for name in sorted(inner))} }}"
        yield f"iifname {names} accept"
        yield f"oifname {names} accept"
    yield "drop"


def _judges(plan: Network, space: Space, app: Guarded) -> Iterator[str]:
    yield from _chain(f"out_of_{_mark(space)}", None, _out_of(plan, app))
    yield from _chain(f"into_{_mark(space)}", None, _into(plan, app))


def _out_of(plan: Network, app: Guarded) -> Iterator[str]:
    """What an instance of the app may begin: with what it reaches, and out of the mesh unless that is forbidden."""
    for one in plan.neighbours:
        if one.app in app.network.reaches:
            addresses = {copy.address for copy in one.copies}
            yield from (f"{match} return" for match in _talk("daddr", addresses, one.ports.values()))
    yield f"ip6 daddr {plan.whole} reject with icmpv6 admin-prohibited"
    if app.network.egress:
        yield f"oifname != {OURS} return"
    yield "reject"


def _into(plan: Network, app: Guarded) -> Iterator[str]:
    """Who may begin to talk to an instance of the app: what reaches it, and whoever a published port let in."""
    yield "ct status dnat accept"
    yield from (f"{match} accept" for match in _callers(plan, app))
    yield "drop"


def _callers(plan: Network, app: Guarded) -> Iterator[str]:
    """Matches what the copies of those that reach the app send to its ports."""
    for one in plan.neighbours:
        if app.app in one.reaches:
            addresses = {copy.address for copy in one.copies}
            yield from _talk("saddr", addresses, app.network.ports.values())


def _talk(end: str, addresses: Collection[str], ports: Iterable[Port]) -> Iterator[str]:
    """Matches what goes to an app's ports, and pings, from or to these addresses."""
    pairs = ", ".join(f"{port.transport} . {port.number}" for port in sorted(set(ports)))
    if not addresses:
        return
    found = f"ip6 {end} {{ {', '.join(sorted(addresses))} }}"
    yield f"{found} icmpv6 type echo-request"
    if pairs:
        yield f"{found} meta l4proto . th dport {{ {pairs} }}"


def _sources(plan: Network) -> Iterator[str]:
    """An instance speaks by its own addresses alone, or it would be taken for another; nobody outside by the mesh's.
    Every packet comes by here, so that there are no more lines where there are more instances.

    Nor is anybody outside answered names, by one who sends to the node's address past all tunnels.
    """
    yield f"iifname != {INSIDE} ip6 saddr {plan.whole} drop"
    own = node_address(IPv6Network(plan.node))
    yield f"iifname != {INSIDE} ip6 daddr {own} meta l4proto {{ tcp, udp }} th dport 53 drop"
    yield "iifname @known ip6 saddr != fe80::/10 iifname . ip6 saddr != @own6 drop"
    yield "iifname @known iifname . ip saddr != @own4 drop"


def _published(known: Iterable[tuple[Space, Guarded]]) -> Iterator[str]:
    """Not by way of the loopback interface: what comes from 127.0.0.1 or ::1 cannot be answered from elsewhere."""
    for space, app in known:
        for name, number in sorted(app.network.publish.items(), key=lambda pair: pair[1]):
            port = app.network.ports.get(name)
            if port is None:
                continue  # the hub refuses such an app; a word for a port that is none opens nothing
            match = f"fib daddr type local {port.transport} dport {number}"
            yield f"ip6 daddr != ::1 {match} dnat ip6 to [{space.address}]:{port.number}"
            if space.address4:
                yield f"ip daddr != 127.0.0.0/8 {match} dnat ip to {space.address4}:{port.number}"


def _leaving(plan: Network, spaces: Iterable[Space]) -> Iterator[str]:
    """Out of the mesh nobody knows a unique local address, nor the IPv4 range that is the same on every node."""
    for space in spaces:
        yield f"ip6 saddr {space.address} ip6 daddr != {plan.whole} oifname != {OURS} masquerade"
        if space.address4:
            yield f"ip saddr {space.address4} oifname != {OURS} masquerade"


def _mark(space: Space) -> str:
    return space.device.removeprefix("sk-")
