"""The commands of scenarios: each does one thing to a mesh, and prints what a person would look for.

Owns their words. What they do to machines and lines is what the adversary does, at a moment that a person chose.
"""

from __future__ import annotations

import asyncio
import re

from skerry_hub.model import NodeState

from . import forgeries, identities
from .player import Player, command
from .run import calm, settled
from .scenario import Fault
from .watch import copy_of

UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "y": 31_557_600.0}
IDS = re.compile(r"(?<=[0-9])-[a-z2-7]{10}\b")  # of instances: they differ with every change of the code
JOINED_S = 5.0
QUIET = ("copy-placed", "copy-ended", "person-made", "node-joined")


def seconds(text: str) -> float:
    """`90`, `90s`, `5m`, `-10y`. Raises Fault."""
    unit = UNITS.get(text[-1:])
    try:
        return float(text if unit is None else text[:-1]) * (unit or 1.0)
    except ValueError:
        raise Fault(f"{text!r} is no time (90, 5m, 3h, 2d, -10y)") from None


def number(text: str) -> int:
    """Raises Fault."""
    if not text.isdecimal():
        raise Fault(f"{text!r} is no number")
    return int(text)


# The mesh


@command("nodes COUNT")
async def _nodes(player: Player, words: list[str]) -> list[str]:
    """They have joined and beaten: else which of them gets a copy depends on who was first."""
    for index in range(number(words[0])):
        player.watch.add(await player.world.add(f"n{index + 1}"))
    await asyncio.sleep(JOINED_S)
    return []


@command("wait TIME")
async def _wait(_player: Player, words: list[str]) -> list[str]:
    await asyncio.sleep(seconds(words[0]))
    return []


@command("where [APP]")
async def _where(player: Player, words: list[str]) -> list[str]:
    """What really runs, and where."""
    found: dict[str, list[str]] = {}
    for name, machine in sorted(player.world.machines.items()):
        for unit in sorted(machine.systemd.running()) if machine.on else ():
            copy = copy_of(unit)
            if copy is not None and (not words or copy.rpartition("-")[0] == words[0]):
                found.setdefault(copy, []).append(name)
    return [f"{copy} on {', '.join(on)}" for copy, on in sorted(found.items())] or ["nothing runs"]


@command("settle")
async def _settle(player: Player, _words: list[str]) -> list[str]:
    """The faults end; what can converge does, with an operator who resumes."""
    await calm(player.world, player.watch)
    return await settled(player.world) or ["settled"]


# What the hub says


@command("status")
async def _status(player: Player, _words: list[str]) -> list[str]:
    player.up()
    hub, state = player.world.hub.hub, await player.world.hub.state()
    assert hub is not None
    found = ["restored: an operator is to look"] if state.mesh.restored else []
    found += [f"storm: {hub.hearing.storm}"] if hub.hearing.storm else []
    for node in sorted(state.nodes, key=lambda row: row.name):
        words = [] if node.state is NodeState.READY else [str(node.state)]
        words += ["paused"] if node.id in state.paused else []
        words += ["lost"] if node.id in hub.hearing.silent() else []
        words += ["two machines"] if hub.hearing.machines(node.id) else []
        found.append(f"{node.name} {', '.join(words) or 'well'}")
    return found


@command("claims")
async def _claims(player: Player, _words: list[str]) -> list[str]:
    player.up()
    state = await player.world.hub.state()
    names = {node.id: node.name for node in state.nodes}
    rows = sorted(state.claims, key=lambda row: (row.app, row.number))
    return [
        f"{row.app}-{row.number} claim {row.claim} {row.state} on {names.get(row.node, '?')}" for row in rows
    ]


@command("events")
async def _events(player: Player, _words: list[str]) -> list[str]:
    """What the hub noted since it was asked last."""
    player.up()
    new = await player.world.hub.happened(player.told)
    player.told = max([player.told, *(one[0] for one in new)])
    return [f"{code}: {IDS.sub('', text)}" for _, code, text in new if code not in QUIET]


# Operators


@command("apply APP [FORM]")
async def _apply(player: Player, words: list[str]) -> list[str]:
    """One of the apps that seeds have too, in one of their forms; the hub decides before the next command."""
    player.up()
    many = player.apps.get(words[0])
    if many is None:
        raise Fault(f"there is no app {words[0]} ({', '.join(sorted(player.apps))})")
    form = number(words[1]) if len(words) > 1 else 1
    if not 1 <= form <= len(many):
        raise Fault(f"{words[0]} has the forms 1 to {len(many)}")
    await player.world.hub.apply(many[form - 1])
    await asyncio.sleep(1)
    return []


@command("remove APP")
async def _remove(player: Player, words: list[str]) -> list[str]:
    player.up()
    await player.world.hub.remove(words[0])
    return []


async def _word(player: Player, name: str, what: str, state: NodeState) -> list[str]:
    player.up()
    fields = {"state": state, "state_by": "admin", "confirmed_by": "admin"}
    await player.world.hub.change_node(player.machine(name).identity.name, what, **fields)
    return []


@command("drain NODE")
async def _drain(player: Player, words: list[str]) -> list[str]:
    return await _word(player, words[0], "drained", NodeState.DRAINING)


@command("dead NODE")
async def _dead(player: Player, words: list[str]) -> list[str]:
    return await _word(player, words[0], "declared dead", NodeState.DEAD)


@command("undrain NODE")
async def _undrain(player: Player, words: list[str]) -> list[str]:
    return await _word(player, words[0], "undrained", NodeState.READY)


@command("forget NODE")
async def _forget(player: Player, words: list[str]) -> list[str]:
    player.up()
    await player.world.hub.forget(player.machine(words[0]).identity.name)
    return []


@command("join NODE")
async def _join(player: Player, words: list[str]) -> list[str]:
    """A machine is installed anew."""
    player.up()
    await identities.join_anew(player.world, player.watch, player.machine(words[0]))
    return []


@command("keep MACHINE")
async def _keep(player: Player, words: list[str]) -> list[str]:
    """It is named as the node, of two."""
    player.up()
    machine = player.machine(words[0])
    kept = player.world.hub.keep(machine.identity.node, machine.boot)
    return [] if kept else ["the hub knows of no two machines"]


@command("back up")
async def _back_up(player: Player, _words: list[str]) -> list[str]:
    player.up()
    player.world.hub.back_up()
    return []


@command("put back BACKUP")
async def _put_back(player: Player, words: list[str]) -> list[str]:
    """The hub is stopped for it, and started."""
    copy, hub = number(words[0]), player.world.hub
    if not 1 <= copy <= hub.copies:
        raise Fault(f"there are {hub.copies} backups")
    await hub.kill()
    await hub.put_back(copy)
    await hub.start()
    return []


@command("resume WHOSE")
async def _resume(player: Player, words: list[str]) -> list[str]:
    player.up()
    if words[0] not in {"nodes", "hub"}:
        raise Fault("whose word counts? 'nodes' or 'hub'")
    await player.world.hub.resume(words[0])
    return []


# Lines


@command("cut NODE [WAY]")
async def _cut(player: Player, words: list[str]) -> list[str]:
    line, way = player.world.lines[player.machine(words[0])], words[1] if len(words) > 1 else "both"
    if way not in {"up", "down", "both"}:
        raise Fault(f"{way!r} is no way (up, down, both)")
    line.cut_up, line.cut_down = way != "down", way != "up"
    return []


@command("heal NODE")
async def _heal(player: Player, words: list[str]) -> list[str]:
    line = player.world.lines[player.machine(words[0])]
    line.bad = 0.0
    line.heal()
    return []


@command("spoil NODE SHARE")
async def _spoil(player: Player, words: list[str]) -> list[str]:
    """Loss, delay and repeats, as often as this (0 to 1)."""
    player.world.lines[player.machine(words[0])].bad = seconds(words[1])
    return []


@command("replay NODE SIZE")
async def _replay(player: Player, words: list[str]) -> list[str]:
    """An assignment from long ago (0) or lately (1)."""
    await forgeries.replay(player.world, player.machine(words[0]), seconds(words[1]))
    return []


@command("slip NODE SIZE")
async def _slip(player: Player, words: list[str]) -> list[str]:
    """The hub errs (see forgeries)."""
    await forgeries.slip(player.world, player.machine(words[0]), seconds(words[1]))
    return []


# Machines


@command("power off NODE")
async def _off(player: Player, words: list[str]) -> list[str]:
    machine = player.machine(words[0])
    player.watch.before_boot(machine)
    player.watch.lost_power(machine)
    machine.power_off()
    return []


@command("power on NODE")
async def _on(player: Player, words: list[str]) -> list[str]:
    machine = player.machine(words[0])
    if not machine.on:
        machine.power_on()
        player.world.loop.call_later(5, player.watch.after_boot, machine)
    return []


@command("sleep NODE TIME")
async def _sleep(player: Player, words: list[str]) -> list[str]:
    player.machine(words[0]).sleep(seconds(words[1]))
    return []


@command("kill agent NODE")
async def _kill_agent(player: Player, words: list[str]) -> list[str]:
    player.machine(words[0]).agent_died()
    return []


@command("hang agent NODE TIME")
async def _hang_agent(player: Player, words: list[str]) -> list[str]:
    player.machine(words[0]).hang(seconds(words[1]))
    return []


@command("crash NODE STEP")
async def _crash(player: Player, words: list[str]) -> list[str]:
    """Its agent dies at this step of what it writes next."""
    player.machine(words[0]).disk.steps_left = number(words[1])
    return []


@command("clone NODE")
async def _clone(player: Player, words: list[str]) -> list[str]:
    made = player.world.clone(player.machine(words[0]))
    player.watch.add(made)
    made.power_on()
    return [f"{made.name} is on"]


@command("wipe MACHINE")
async def _wipe(player: Player, words: list[str]) -> list[str]:
    """It is no more."""
    machine = player.machine(words[0])
    player.watch.lost_power(machine)
    player.world.retire(machine)
    return []


@command("clock WHOSE JUMP")
async def _clock(player: Player, words: list[str]) -> list[str]:
    """The wall clock of a machine, or of the hub."""
    owner: object = player.world.hub if words[0] == "hub" else player.machine(words[0])
    player.world.skews[owner] = player.world.skews.get(owner, 0.0) + seconds(words[1])
    return []


# Hub and NATS


@command("kill hub")
async def _kill_hub(player: Player, _words: list[str]) -> list[str]:
    await player.world.hub.kill()
    return []


@command("start hub")
async def _start_hub(player: Player, _words: list[str]) -> list[str]:
    await player.world.hub.start()
    return []


@command("hang hub TIME")
async def _hang_hub(player: Player, words: list[str]) -> list[str]:
    player.world.hub.hang(seconds(words[0]))
    return []


@command("kill nats [WIPED]")
async def _kill_nats(player: Player, words: list[str]) -> list[str]:
    player.world.server.kill()
    if words:
        player.world.server.wipe()
    return []


@command("start nats")
async def _start_nats(player: Player, _words: list[str]) -> list[str]:
    player.world.server.start()
    return []
