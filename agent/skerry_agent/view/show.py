"""This node's state as text. Nothing else in the agent formats for people."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from .network import NetworkView
from .status import InstanceView, StatusView

BACKENDS = {"kernel": "the kernel's WireGuard"}


def status_text(view: StatusView) -> str:
    """The node itself, a line each."""
    lines = [
        f"node       {view.name} ({view.node}), mesh {view.mesh}, region {view.region}",
        f"agent      {view.agent}",
        f"hub        {'connected' if not view.hub else view.hub}",
        f"accepted   {view.accepted or 'nothing yet'}",
        f"applied    {view.applied or 'nothing yet'}",
    ]
    lines += [f"network    {network_text(view.network)}"] if view.network else []
    lines += ways_lines(view.network) if view.network else []
    lines += [f"override   {text}" for text in view.overrides]
    lines += [f"condition  {text}" for text in view.conditions]
    lines += [f"refused    {view.refusal}"] if view.refusal else []
    lines += [f"left over  {text}" for text in view.left_over]
    lines += ["           ('skerry-agent discard UNIT' stops and removes one)"] if view.left_over else []
    return "\n".join(lines)


def network_text(view: NetworkView) -> str:
    """The node's network, in a line."""
    parts = [view.address + (f" by {BACKENDS.get(view.backend, view.backend)}" if view.backend else "")]
    parts += [f"the path to the hub takes packets of {view.narrow} bytes only"] if view.narrow else []
    if view.trial_ms_left is not None:
        left = f"{view.trial_ms_left / 1000:.0f} s"
        parts.append(
            f"a new plan is on trial: it is taken back unless the hub answers under it within {left}"
        )
    parts += [taken_back(view)] if view.taken_back else []
    parts += [view.trouble] if view.trouble else []
    return "; ".join(parts)


def ways_lines(view: NetworkView) -> list[str]:
    """The way to each node that apps here talk to."""
    ways = {
        name: f"directly, to {at}" if at else "through the hub" for name, at in sorted(view.mates.items())
    }
    return [f"way        to {name}: {way}" for name, way in ways.items()]


def taken_back(view: NetworkView) -> str:
    """What became of the newest plan."""
    then = "until there is another plan" if view.held else "once the hub is reached it is tried again"
    return f"the newest plan was taken back, because {view.taken_back} ({then})"


def instances_table(instances: Iterable[InstanceView]) -> str:
    """An instance a line."""
    heads = ("INSTANCE", "REVISION", "RUNS", "UNIT", "STATE", "LEASE", "REASON")
    return table(heads, [_row(one) for one in instances])


def _row(one: InstanceView) -> Sequence[str]:
    lease = "-" if one.lease_ms_left is None else f"{one.lease_ms_left / 1000:.0f}s"
    return one.name, str(one.revision), str(one.runs or "-"), one.unit_state, one.state, lease, one.reason


def why_text(view: StatusView, instances: Sequence[InstanceView]) -> str:
    """Each instance, what it is doing and since when, and who asked for it."""
    lines = []
    for one in instances:
        since = "" if not one.since_ms else f" since {_clock(one.since_ms)}"
        reason = f": {one.reason}" if one.reason else ""
        lines.append(f"{one.name}: {one.state or 'nothing is known'}{since}{reason}")
        lines.append(f"  unit      {one.unit or 'none yet'}: {one.unit_state}")
        lines.append(f"  asked for revision {one.revision}; runs {one.runs or 'nothing'}")
        if one.changer:
            lines.append(
                f"  changed   by {one.changer}" + (f": {one.change_reason}" if one.change_reason else "")
            )
        if one.lease_ms_left is not None:
            lines.append(f"  lease     {one.lease_ms_left / 1000:.1f} s left")
    lines += [f"override: {text}" for text in view.overrides if text.startswith(f"{instances[0].app}:")]
    if view.network is not None and view.network.taken_back:
        lines.append(f"network: {taken_back(view.network)}")
    if view.hub:
        lines.append(f"hub: {view.hub}")
    return "\n".join(lines)


def _clock(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns."""
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in padded)
