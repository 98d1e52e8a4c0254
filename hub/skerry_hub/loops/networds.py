"""What an app says of the network, and what a change makes of it, in words. Light: the command line loads it."""

from __future__ import annotations

from collections.abc import Iterator

from skerry_protocol.network import AppNetwork, Port

NOTHING = AppNetwork()
FIELD = "network."
"""What the names of these fields begin with, as `changed_fields` gives them."""


def summary(network: AppNetwork) -> str:
    """In one line; empty where the app says nothing of it."""
    ports = [f"{name} {port}{_outside(network, name)}" for name, port in sorted(network.ports.items())]
    parts = ["ports " + ", ".join(ports)] if ports else []
    parts += ["reaches " + ", ".join(sorted(network.reaches))] if network.reaches else []
    parts += [] if network.egress else ["stays inside the mesh"]
    return "; ".join(parts)


def _outside(network: AppNetwork, name: str) -> str:
    return f" (port {network.publish[name]} of its nodes)" if name in network.publish else ""


def changed(old: AppNetwork, new: AppNetwork) -> Iterator[str]:
    """What is different, each in a few words."""
    for name in sorted({*old.ports, *new.ports}):
        if old.ports.get(name) != new.ports.get(name):
            yield _port(name, old.ports.get(name), new.ports.get(name))
    for name in sorted({*old.publish, *new.publish}):
        if old.publish.get(name) != new.publish.get(name):
            yield _published(name, old.publish.get(name), new.publish.get(name))
    yield from (f"reaches {app}" for app in sorted({*new.reaches} - {*old.reaches}))
    yield from (f"no longer reaches {app}" for app in sorted({*old.reaches} - {*new.reaches}))
    if old.egress != new.egress:
        yield "may leave the mesh" if new.egress else "stays inside the mesh"


def _port(name: str, old: Port | None, new: Port | None) -> str:
    if new is None:
        return f"no port {name} any more"
    return f"port {name} is {new}" if old is None else f"port {name} is {new} instead of {old}"


def _published(name: str, old: int | None, new: int | None) -> str:
    if new is None:
        return f"{name} is published no longer"
    where = f"{name} is published as port {new} of its nodes"
    return where if old is None else f"{where} instead of {old}"
