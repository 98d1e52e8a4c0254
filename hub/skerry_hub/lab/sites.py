"""The sites of a lab, by their nodes' names: every node is behind one router, which it may share.

What is done to a router is done to all nodes behind it.
"""

from __future__ import annotations

from . import internet
from .addresses import NORMAL_MTU, Address
from .errors import LabError
from .layout import Host
from .router import Router
from .wire import Host as HostStatus
from .wire import Request


class Sites:
    """One call at a time, but `router`."""

    def __init__(self) -> None:
        self._routers: dict[int, Router] = {}

    def router(self, address: Address) -> Router:
        return self._routers.setdefault(address.site, Router(address.site))

    def translate(self, hosts: dict[Host, Router], request: Request) -> None:
        if request.udp_timeout is not None and request.udp_timeout < 1:
            raise LabError(f"cannot let UDP mappings live for {request.udp_timeout} s: 1 is the least")
        for router in _once(hosts):
            router.translate(request.nat, request.udp_timeout)

    def narrow(self, hosts: dict[Host, Router], request: Request) -> None:
        for router in _once(hosts):
            router.narrow(request.mtu, request.silent)
        internet.silence(number for number, router in self._routers.items() if router.rules.silent)

    def move(self, hosts: dict[Host, Router]) -> None:
        for router in _once(hosts):
            try:
                router.move()
            except LabError as error:
                names = ", ".join(host for host, its in hosts.items() if its is router)
                raise LabError(f"cannot move {names}: {error}") from None


def _once(hosts: dict[Host, Router]) -> list[Router]:
    return list(dict.fromkeys(hosts.values()))


def described(status: HostStatus, router: Router) -> HostStatus:
    """With what its site's router is like."""
    nat = router.rules.nat
    return HostStatus(
        status.name, status.state, status.address, status.cut, status.boots,
        nat=nat,
        outside=status.address if nat == "open" else router.outside.ipv4,
        udp_timeout=router.rules.udp_timeout,
        mtu=None if router.mtu == NORMAL_MTU else router.mtu,
        silent=router.rules.silent,
    )  # fmt: skip
