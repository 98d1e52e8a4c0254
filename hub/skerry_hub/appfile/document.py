"""An app as the table that an operator would have written: so that one set of rules judges both.

What is left out is what the parser fills in, with the same result.
"""

from __future__ import annotations

from skerry_protocol.app import App, Health, Restart
from skerry_protocol.network import AppNetwork

from ..units import write_duration
from .ports import write_port

Document = dict[str, object]


def to_document(app: App) -> Document:
    """The table of `app`, without its name. Values that no file could hold come out as such, for the rules to find."""
    table: Document = {
        "run": list(app.run),
        "availability": str(app.availability),
        "stop_timeout": _duration(app.stop_timeout_ms),
        "rollback": app.rollback,
    }
    if not app.per_node or app.replicas != 1:
        table["replicas"] = app.replicas
    if app.restart is not Restart.ALWAYS:
        table["restart"] = str(app.restart)
    if app.ha is not None:
        words = {"overlap": str(app.ha.overlap), "on_return": str(app.ha.on_return)}
        table["ha"] = {"lost_after": _duration(app.ha.lost_after_ms)} | words
    if app.health is not None:
        table["health"] = _health(app.health)
    return (
        table
        | _network(app.network)
        | _present(
            artifact={arch: {"sha256": one.sha256, "size": one.size} for arch, one in app.artifacts.items()},
            per_node=app.per_node,
            place=_place(app),
            resources=_resources(app),
            volumes={
                name: {"path": volume.path, "empty_elsewhere": volume.empty_elsewhere}
                for name, volume in app.volumes.items()
            },
            files=dict(app.files),
            env=dict(app.env),
            schedule=app.schedule,
            after=list(app.after),
            user=app.user,
            workdir=app.workdir,
            sandbox={"allow": list(app.sandbox_allow)} if app.sandbox_allow else None,
        )
    )


def _duration(milliseconds: int) -> str:
    return write_duration(milliseconds) if milliseconds >= 0 else f"{milliseconds}ms"


def _present(**values: object) -> Document:
    """Without None, False and what is empty; an empty string is kept, because it is a fault."""
    return {key: value for key, value in values.items() if value or value == ""}


def _place(app: App) -> Document:
    labels = {key: list(values) for key, values in app.place.labels.items()}
    spread = {} if app.place.spread is None else {"spread": app.place.spread}
    return _present(labels=labels, nodes=list(app.place.nodes)) | spread


def _resources(app: App) -> Document:
    resources = app.resources
    values: Document = {
        "memory": resources.memory_bytes,
        "cpu": None if resources.cpu_milli is None else resources.cpu_milli / 1000,
        "tasks": resources.tasks,
        "cpu_weight": resources.cpu_weight,
        "io_weight": resources.io_weight,
    }
    return {key: value for key, value in values.items() if value is not None}


def _network(network: AppNetwork) -> Document:
    ports = {name: write_port(port) for name, port in network.ports.items()}
    table = _present(ports=ports, reaches=list(network.reaches), publish=dict(network.publish))
    return table if network.egress else table | {"egress": False}


def _health(health: Health) -> Document:
    values: Document = {
        "http": health.http,
        "tcp": health.tcp,
        "exec": None if health.exec is None else list(health.exec),
        "every": _duration(health.every_ms),
        "timeout": _duration(health.timeout_ms),
        "grace": _duration(health.grace_ms),
        "failures": health.failures,
    }
    return {key: value for key, value in values.items() if value is not None}
