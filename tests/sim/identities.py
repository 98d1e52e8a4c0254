"""Blows on who is who: a disk that is cloned, a node that is forgotten, a machine that comes back as another.

Owns what an operator does about them afterwards: one of two machines is kept and the other wiped, and a forgotten
machine joins anew, either on its old disk's ruins or from nothing.
"""

from __future__ import annotations

import asyncio

from skerry_protocol.ids import NodeName

from .machine import Machine
from .watch import Watch
from .world import World

LOOK_S = 5.0
HEARD_S = 400.0  # until both must have been heard, and the hub must have said so


async def clone(world: World, watch: Watch, machine: Machine, size: float) -> None:
    """Its disk is copied into another machine, and that one is switched on. In the end an operator keeps one."""
    if not machine.on or len(sharing(world, machine)) > 1 or machine not in world.lines:
        return
    other = world.clone(machine)
    watch.add(other)
    await asyncio.sleep(60 * size**2)
    if other in world.lines:
        other.power_on()
        await asyncio.sleep(30 + 200 * size)
        await keep(world, watch, other if size > 0.6 else machine)


def sharing(world: World, machine: Machine) -> list[Machine]:
    """All machines with the identity of this one."""
    return [one for one in world.machines.values() if one.identity.node == machine.identity.node]


async def keep(world: World, watch: Watch, kept: Machine) -> None:
    """An operator waits to be told of two machines, names one, and wipes the other. It ends, told or not."""
    others = [one for one in sharing(world, kept) if one is not kept]
    if kept not in world.lines or not others:
        return
    for _ in range(int(HEARD_S / LOOK_S)):
        if world.hub.keep(kept.identity.node, kept.boot):
            break
        await asyncio.sleep(LOOK_S)
    if kept not in world.lines:
        return
    for one in others:
        if one in world.lines:
            world.say(f"   {kept.name} is kept, {one.name} is wiped")
            watch.lost_power(one)
            world.retire(one)


async def forget(world: World, watch: Watch, machine: Machine, size: float) -> None:
    """An operator forgets its node, and later it is installed anew and joins."""
    if world.hub.hub is None or machine not in world.lines or len(sharing(world, machine)) > 1:
        return
    await world.hub.forget(machine.identity.name)
    await asyncio.sleep(20 + 200 * size)
    await join_anew(world, watch, machine)


async def join_anew(world: World, watch: Watch, machine: Machine) -> None:
    """Another disk, another key, another node; the name stays."""
    for _ in range(int(HEARD_S / LOOK_S)):
        if world.hub.hub is None:
            await asyncio.sleep(LOOK_S)
    if machine not in world.lines or world.hub.hub is None:
        return
    watch.lost_power(machine)
    world.retire(machine)
    name = machine.identity.name
    if name in world.machines:  # one of two that nobody told apart: the other goes on under the name
        name = NodeName(machine.name.replace("+", "-"))
    await world.hub.forget(name)
    watch.add(await world.add(name))


async def tidy(world: World, watch: Watch) -> None:
    """What an operator sees to in the end: each machine is one node, and each node one machine."""
    for machine in tuple(world.machines.values()):
        if machine in world.lines and len(sharing(world, machine)) > 1:
            await keep(world, watch, machine)
    known = {node.id for node in (await world.hub.state()).nodes}
    for machine in tuple(world.machines.values()):
        if machine.identity.node not in known:
            await join_anew(world, watch, machine)
    names = {machine.identity.node for machine in world.machines.values()}
    for node in (await world.hub.state()).nodes:
        if node.id not in names:
            await world.hub.forget(node.name)
