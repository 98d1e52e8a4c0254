"""The figures there are: one row each. A figure is a module with `measure(effort) -> Iterator[Row]`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import cast

from msgspec import Struct

from .measures import Row


class Effort(Struct, frozen=True):
    """How much time a run may take. `pick` gives the second of two sizes where it has to be quick."""

    quick: bool = False

    def pick(self, full: float, quick: float) -> float:
        return quick if self.quick else full

    def count(self, full: int, quick: int) -> int:
        return quick if self.quick else full


Measure = Callable[[Effort], Iterator[Row]]


class Figure(Struct, frozen=True):
    """`module` is loaded only when the figure is measured. `lab`: it boots nodes, and needs root."""

    name: str
    module: str
    about: str
    lab: bool = True

    def measure(self, effort: Effort) -> Iterator[Row]:
        found = importlib.import_module(f"{__package__}.{self.module}")
        return cast(Measure, found.measure)(effort)


FIGURES = (
    Figure("scheduler", "placing", "10,000 nodes, 50,000 instances: plan, a node lost, durable", lab=False),
    Figure("plans", "netplanning", "10,000 nodes, 50,000 instances: every node's network plan", lab=False),
    Figure("loops", "netloops", "the hub's loops with 9,500 nodes' network plans and without", lab=False),
    Figure("imports", "imports", "memory of the agent's libraries, before it does anything", lab=False),
    Figure("network", "netapplying", "a plan with 100 peers and 100 instances becomes a network"),
    Figure("traffic", "nettraffic", "between instances on two nodes, beside a bare tunnel"),
    Figure("rest", "rest", "the agent at rest with 20 instances: memory, CPU without and with checks"),
    Figure("wire", "wire", "bytes per day at rest: best-effort work alone, and a 60 s ha app"),
    Figure("tunnels", "netwire", "bytes per day at rest with the tunnels, on the outside interface"),
    Figure("apply", "applying", "a one-line change → the new process runs, with many other units"),
    Figure("boot", "booting", "cold boot without a hub: systemd's start → last unit active"),
    Figure("packet", "netbooting", "cold boot without a hub: systemd's start → first packet to another node"),
    Figure("lost", "losing", "a node is lost → its copy runs on another, with few nodes and with many"),
    Figure("revert", "reverting", "a failed check after a change → the former revision runs"),
    Figure("return", "returning", "back after weeks: newest revision, outbox bounded and drained"),
    Figure(
        "hub",
        "crowds",
        "a hub with thousands of agents: at rest, one change to all, killed and started",
        lab=False,
    ),
)


class UnknownFigure(ValueError):
    """There is no such figure; the text names those that there are."""


def chosen(names: Iterable[str]) -> tuple[Figure, ...]:
    """By name, in the table's order; all where none is named."""
    wanted, known = set(names), {figure.name for figure in FIGURES}
    if unknown := sorted(wanted - known):
        there = ", ".join(figure.name for figure in FIGURES)
        raise UnknownFigure(f"cannot measure {', '.join(unknown)}: no such figure (there are {there})")
    return tuple(figure for figure in FIGURES if not wanted or figure.name in wanted)
