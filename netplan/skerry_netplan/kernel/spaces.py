"""An instance's namespace with its pair of interfaces: `eth0` inside, the machine's end outside.

The machine is its gateway, by a link-local address that is the same on every pair; IPv4 goes the same way, so that it
needs no gateway of its own (RFC 5549). What merely has a name that begins like those of Skerry's is somebody
else's: it is never read, and never removed.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Mapping

from skerry_protocol.ids import INSTANCE_ID, InstanceId

from ..lower import SPACE
from ..state import Space
from .links import ALIAS, GATEWAY6, Connection, LinkSeen, connected, dump, read_links, set_sysctl
from .namespaces import Folder

INSIDE = "eth0"
NO_DAD = 2  # IFA_F_NODAD: nobody else can have these addresses
BY_NOBODY = "1"  # addr_gen_mode: no link-local address of the kernel's own
_DEVICE = re.compile(r"sk-[a-z2-7]{10}")  # `state.device_of`


async def read_spaces(ip: Connection, folder: Folder) -> dict[InstanceId, Space]:
    """All that is there. What is not whole has no address, so that it is never what is wanted."""
    links = await read_links(ip)
    ends = {link.index: link for link in links.values() if link.name.startswith("sk-")}
    there = {name: whole for name, whole in folder.names().items() if _is_instances(name)}
    found = {name: Space(name, "", "") for name in there}
    for name, sock in folder.sockets(name for name, whole in there.items() if whole).items():
        found[name] = await _read(name, sock, ends)
    led = {space.device for space in found.values()}
    ours = [end.name for end in ends.values() if end.ours or _is_begun(end.name, end.pair)]
    stray = {name: Space("", name, "") for name in ours if name not in led}
    return {InstanceId(name.removeprefix(SPACE)): space for name, space in (found | stray).items()}


async def _read(name: str, sock: socket.socket, ends: Mapping[int, LinkSeen]) -> Space:
    async with connected(sock) as inside:
        link = (await read_links(inside)).get(INSIDE)
        routes = [one["family"] for one in await dump(inside.route) if one["dst_len"] == 0]
    end = ends.get(link.pair) if link else None
    if link is None or end is None:
        return Space(name, "", "")
    six = [text.removesuffix("/128") for text in link.addresses if text.endswith("/128")]
    four = [text.removesuffix("/32") for text in link.addresses if text.endswith("/32")]
    if not (link.up and end.up and end.ours and len(six) == 1 and socket.AF_INET6 in routes):
        return Space(name, end.name, "")
    return Space(name, end.name, six[0], four[0] if four and socket.AF_INET in routes else None, link.mtu)


async def add_spaces(ip: Connection, folder: Folder, spaces: list[Space]) -> None:
    """All of them in one go. What an interrupted attempt left behind is removed first. Raises OSError where the name of
    an interface is somebody else's."""
    for space in spaces:
        await remove_space(ip, folder, space)
        if await ip.link_lookup(ifname=space.device):
            then = f"rename it, or remove it: ip link del {space.device}"
            text = f"there is an interface called {space.device} that is not Skerry's ({then})"
            raise OSError(errno.EEXIST, text)
    folder.make(space.name for space in spaces)
    for name, sock in folder.sockets(space.name for space in spaces).items():
        space = next(one for one in spaces if one.name == name)
        await _pair(ip, folder, space)
        await _furnish(sock, space)


async def remove_space(ip: Connection, folder: Folder, space: Space) -> None:
    """The pair goes at once, the namespace when its last process has ended. Nothing where there is none."""
    for index in await ip.link_lookup(ifname=space.device) if space.device else ():
        if await _is_ours(ip, space.device, index):
            await ip.link("del", index=index)
    if space.name:
        folder.remove(space.name)


def _is_instances(name: str) -> bool:
    return name.startswith(SPACE) and INSTANCE_ID.fullmatch(name.removeprefix(SPACE)) is not None


def _is_begun(name: str, pair: int) -> bool:
    """Whether it is of a pair that was to be an instance's: between its making and its alias somebody was killed."""
    return pair != 0 and _DEVICE.fullmatch(name) is not None


async def _is_ours(ip: Connection, name: str, index: int) -> bool:
    (one,) = await ip.link("get", index=index)
    return one.get_attr("IFLA_IFALIAS") == ALIAS or _is_begun(name, one.get_attr("IFLA_LINK") or 0)


async def _pair(ip: Connection, folder: Folder, space: Space) -> None:
    inside = folder.opened(space.name)
    try:
        peer = {"ifname": INSIDE, "net_ns_fd": inside, "mtu": space.mtu}
        await ip.link("add", ifname=space.device, kind="veth", mtu=space.mtu, peer=peer)
    finally:
        os.close(inside)
    (index,) = await ip.link_lookup(ifname=space.device)
    set_sysctl(f"ipv6/conf/{space.device}/addr_gen_mode", BY_NOBODY)
    await ip.link("set", index=index, state="up", ifalias=ALIAS)
    await ip.addr("add", index=index, address=GATEWAY6, prefixlen=64, flags=NO_DAD)


async def _furnish(sock: socket.socket, space: Space) -> None:
    async with connected(sock) as inside:
        (index,) = await inside.link_lookup(ifname=INSIDE)
        await inside.link("set", index=1, state="up")
        await inside.addr("add", index=index, address=space.address, prefixlen=128, flags=NO_DAD)
        await inside.link("set", index=index, state="up")
        await inside.route("add", dst="::/0", gateway=GATEWAY6, oif=index)
        if space.address4:
            via = {"family": socket.AF_INET6, "addr": GATEWAY6}
            await inside.addr("add", index=index, address=space.address4, prefixlen=32)
            await inside.route("add", dst="0.0.0.0/0", via=via, oif=index)
