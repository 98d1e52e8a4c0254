"""Measurements → findings, in the order in which what is bad should be mended. Pure.

Owns the order, the limits and the words on what to do.
"""

from __future__ import annotations

from collections.abc import Callable

from skerry_protocol.findings import Finding, bad, led_back, ok, unknown

from ..network.wanted import NOT_RUNNING
from .measured import Disk, HubInside, Measured, Way

AGENT, NET = "skerry-agent.service", "skerry-net.service"
LITTLE_ROOM = 64 << 20
LITTLE_RUN = 4 << 20
FAR_OFF_S = 10.0
STALE_S = 180.0
"""WireGuard's REJECT_AFTER_TIME: an older session carries nothing."""
REFUSED = "Connection refused"
LEAST_MTU = 1280
"""The least that IPv6 asks for (RFC 8200 section 5)."""
TO_JOIN = "join a mesh: skerry-agent join TOKEN ('skerry token create' on the operator's side prints one)"


def judge(m: Measured) -> tuple[Finding, ...]:
    """Every check that means something on this machine."""
    if not m.member:
        rows = [bad("joined", m.stranger or "this machine has not joined a mesh", TO_JOIN)]
        rows += [_systemd(m), _disk(m)]
        return tuple(rows)
    checks: list[Callable[[Measured], Finding]] = [_joined, _systemd, _disk, _records]
    checks += [_net, _tunnel, _firewall] if m.planned else []
    checks += [_name, _https, _clock]
    checks += [_udp, _inside, _mtu] if m.planned else []
    checks += [_direct] if m.ways else []
    return tuple(led_back([check(m) for check in (*checks, _nats, _agent)], LEADS_TO))


LEADS_TO = {
    "skerry-net": ("systemd", "disk", "records"),
    "tunnel": ("skerry-net",),
    "firewall": ("skerry-net",),
    "udp": ("tunnel", "name"),
    "https": ("name",),
    "inside": ("tunnel", "udp", "https"),
    "mtu": ("inside",),
    "nats": ("tunnel", "udp", "inside", "https"),
    "agent": ("systemd", "disk", "records", "tunnel", "udp", "inside", "nats"),
}
"""See `led_back`. What does not run has its own cause; nearly all else may have an earlier one."""


def _joined(m: Measured) -> Finding:
    return ok("joined", m.member)


def _systemd(m: Measured) -> Finding:
    if m.systemd is None:
        return unknown("systemd", "was not asked in time")
    if m.systemd:
        return bad("systemd", m.systemd, "systemctl restart dbus; if that hangs, 'systemctl daemon-reexec'")
    return ok("systemd", "answers")


def _disk(m: Measured) -> Finding:
    if m.disks is None:
        then = "the disk hangs: look at 'dmesg', and at what /var/lib/skerry is mounted from"
        return bad("disk", "does not answer", then)
    for one in m.disks:
        if one.fault:
            return bad(
                "disk",
                f"{one.path}: {one.fault}",
                f"make {one.path} writable: 'findmnt -T {one.path}', 'dmesg'",
            )
    for one in m.disks:
        if one.free < _least(one):
            return bad("disk", f"{one.free >> 20} MB are free in {one.path}", "make room on that file system")
    return ok("disk", ", ".join(f"{one.free >> 20} MB free in {one.path}" for one in m.disks))


def _least(disk: Disk) -> int:
    return LITTLE_RUN if disk.path.startswith("/run") else LITTLE_ROOM


def _records(m: Measured) -> Finding:
    if m.damaged is None:
        return unknown("records", "could not be read in time")
    if m.damaged:
        then = "the agent gets the assignment anew once it reaches the hub; check the disk (smartctl, dmesg)"
        return bad("records", "; ".join(m.damaged), then)
    return ok("records", "what is stored can be read")


def _running(m: Measured, unit: str) -> str:
    return next((one.active for one in m.services if one.name == unit), "")


def _net(m: Measured) -> Finding:
    if (state := _running(m, NET)) not in {"", "active"}:
        return bad("skerry-net", f"{NET} is {state}", f"systemctl restart {NET}; journalctl -u {NET}")
    if m.net is None:
        return unknown("skerry-net", "what it says could not be read")
    if m.net == NOT_RUNNING:
        return bad(
            "skerry-net", "has said nothing since the boot", f"systemctl restart {NET}; journalctl -u {NET}"
        )
    if m.net:
        return bad("skerry-net", m.net, f"do what it says; journalctl -u {NET} has more")
    return ok("skerry-net", "has made what is planned")


def _tunnel(m: Measured) -> Finding:
    if m.link is None:
        return unknown("tunnel", "could not be read in time")
    if m.link.fault:
        return bad(
            "tunnel", m.link.fault, f"systemctl restart {NET} makes it; journalctl -u {NET} says why not"
        )
    by = "the kernel's WireGuard" if m.link.backend == "kernel" else m.link.backend
    if not m.link.up:
        return bad("tunnel", f"its interface is down ({by})", f"systemctl restart {NET} brings it up")
    if not any(one.endpoint for one in m.hubs):
        return bad("tunnel", f"the hub is not in it ({by})", f"systemctl restart {NET}; journalctl -u {NET}")
    return ok("tunnel", f"is there, by {by}, MTU {m.link.mtu}")


def _firewall(m: Measured) -> Finding:
    if m.firewall is None:
        return unknown("firewall", "nft did not answer in time")
    if m.firewall:
        return bad(
            "firewall", m.firewall, f"install nftables if nft is missing; systemctl restart {NET} sets it"
        )
    return ok("firewall", "the table 'inet skerry' is set")


def _name(m: Measured) -> Finding:
    lost = [name for name, address in m.names if address is None]
    if not m.names:
        return bad("name", "no hub is known here", TO_JOIN)
    if lost:
        then = "mend this machine's resolver ('resolvectl status', /etc/resolv.conf), or the hub's name in the DNS"
        return bad("name", f"no address is known of {', '.join(lost)}", then)
    return ok("name", ", ".join(name if name == at else f"{name} is {at}" for name, at in m.names))


def _https(m: Measured) -> Finding:
    if m.https is None:
        return bad("https", "no answer in time", _no_tcp(m))
    if m.https.wrong:
        then = "another machine answers there: correct the name or the port's forwarding; a hub made anew from another"
        return bad("https", m.https.fault, f"{then} root key is another mesh")
    if m.https.fault:
        return bad("https", m.https.fault, _no_tcp(m))
    return ok("https", f"{m.https.hub} proved itself")


def _no_tcp(m: Measured) -> str:
    if m.https is not None and REFUSED in m.https.fault:
        return "its machine is reached, and nothing listens there: on the hub, 'systemctl status skerry-hub'"
    if _heard(m):
        return "the tunnel works, so the hub's TCP port is shut on the way: let it pass, here and at the hub"
    return (
        "nothing of the hub answers: look at this machine's own way out ('ip route', its cable, modem or router),"
        " and whether the hub's machine is up; instances here run on meanwhile"
    )


def _clock(m: Measured) -> Finding:
    ahead = m.https.ahead_s if m.https is not None else None
    if ahead is None:
        return unknown("clock", "the hub, to compare with, did not say the time")
    if abs(ahead) < FAR_OFF_S:
        return ok("clock", f"within {FAR_OFF_S:.0f} s of the hub's")
    which = "ahead of" if ahead > 0 else "behind"
    then = (
        "set the one that is wrong ('timedatectl'; 'timedatectl set-ntp true'): a tunnel's handshake from before"
        " the last one is refused, and times in logs mislead"
    )
    return bad("clock", f"{_span(abs(ahead))} {which} the hub's", then)


def _heard(m: Measured) -> bool:
    return any(one.heard or one.answered for one in m.hubs)


def _nearest(m: Measured) -> HubInside | None:
    """The hub that says most."""
    return max(m.hubs, key=lambda one: (len(one.answered), one.heard, bool(one.endpoint)), default=None)


def _udp(m: Measured) -> Finding:
    hub = _nearest(m)
    if hub is None or not hub.endpoint:
        return unknown("udp", "nothing could be sent: the hub is not in the tunnel")
    last = "never" if hub.handshake_s is None else f"{_span(hub.handshake_s)} ago"
    if _heard(m):
        return ok("udp", f"{hub.endpoint} answers, last handshake {last}")
    seen = f"nothing comes back from {hub.endpoint}, last handshake {last}"
    return bad("udp", seen, _no_udp(m, hub))


def _no_udp(m: Measured, hub: HubInside) -> str:
    if m.https is None or m.https.fault:
        return "HTTPS does not get through either: mend this machine's way out first"
    port = hub.endpoint.rpartition(":")[2]
    return (
        f"HTTPS gets through and UDP does not: let UDP to port {port} of the hub pass, in this site's firewall and in"
        f" the hub's; if it does, the hub's tunnel is the fault ('skerry doctor' on the operator's side)"
    )


def _inside(m: Measured) -> Finding:
    hub = _nearest(m)
    if hub is None or not hub.endpoint:
        return unknown("inside", "no hub could be asked inside the tunnel")
    if not _heard(m):
        return unknown("inside", "nothing comes through the tunnel")
    if hub.answered:
        return ok("inside", f"{hub.address} answers pings")
    then = "on the hub: is its address there ('ip -6 addr show skerry-hub'), and does its firewall let the tunnel in?"
    return bad("inside", f"{hub.address} does not answer pings", then)


def _mtu(m: Measured) -> Finding:
    hub = _nearest(m)
    if hub is None or not hub.answered or m.link is None:
        return unknown("mtu", "pings have to pass before their size matters")
    if m.link.mtu in hub.answered:
        return ok("mtu", f"{m.link.mtu} bytes pass")
    if m.link.narrow in hub.answered:
        return ok("mtu", f"{m.link.narrow} bytes pass, and no more is sent: the path takes no {m.link.mtu}")
    if LEAST_MTU in hub.answered:
        then = "the path is narrow: connections may hang; raise the MTU of this site's uplink, or let ICMP pass there"
        return bad("mtu", f"{LEAST_MTU} bytes pass, {m.link.mtu} do not", then)
    then = (
        "the path is too narrow for IPv6: this site's uplink has to carry packets of 1360 bytes, or fragments"
    )
    return bad("mtu", f"not even {LEAST_MTU} bytes pass", then)


def _direct(m: Measured) -> Finding:
    """Nothing is bad where the hub is on the way: it takes longer, and the hub has more to do."""
    return ok("direct", "; ".join(_led(way) for way in m.ways))


def _led(way: Way) -> str:
    if way.at:
        return f"to {way.name} directly, at {way.at}"
    return f"to {way.name} through the hub: {_why_not(way)}"


def _why_not(way: Way) -> str:
    if not way.takes:
        return "it takes no direct tunnels"
    if not way.tried:
        return "the hub has not seen yet where its direct tunnels end"
    return (
        f"nothing has come back yet from {', '.join(way.tried)} (if it stays so: both sites' routers take another port"
        " for each destination, or a firewall lets no UDP in; one UDP port that is let in at either site mends it)"
    )


def _nats(m: Measured) -> Finding:
    if m.nats is None:
        return bad("nats", "no answer in time", NATS_THEN)
    if m.nats:
        return bad("nats", m.nats, NATS_THEN)
    return ok("nats", "takes connections, with the hub's key")


NATS_THEN = "on the hub: 'skerry hub status' says what ails it; its log names nats-server's port"


def _agent(m: Measured) -> Finding:
    if (state := _running(m, AGENT)) not in {"", "active"}:
        return bad("agent", f"{AGENT} is {state}", f"systemctl start {AGENT}; journalctl -u {AGENT}")
    if m.agent is None:
        return bad("agent", "does not answer", f"systemctl restart {AGENT}; journalctl -u {AGENT}")
    if m.agent.fault:
        return bad("agent", m.agent.fault, f"systemctl restart {AGENT}; journalctl -u {AGENT}")
    if m.agent.hub:
        return bad("agent", m.agent.hub, f"mend what is bad above; else journalctl -u {AGENT}")
    if m.agent.conditions:
        return bad("agent", "; ".join(m.agent.conditions), "see 'skerry-agent status', and do what it says")
    if m.nats != "":
        return ok("agent", "runs, and takes its connection for whole: it may not have noticed yet")
    return ok("agent", "runs, and is connected to its hub")


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"
