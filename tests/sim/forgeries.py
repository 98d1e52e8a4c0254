"""Blows by those who should be trusted, or at least heard: a hub that errs, and a transport that replays.

A hub's error is an assignment that is signed as it should be and says what it must not; a replay is an older one, as it
was sent.
"""

from __future__ import annotations

import msgspec

from skerry_agent.assignments.accept import UNCONFIRMED_MAX
from skerry_hub.model import AssignmentRow
from skerry_hub.store import rows
from skerry_protocol import signing, subjects
from skerry_protocol.codec import decode, encode
from skerry_protocol.messages import Assignment, Version

from .machine import Machine
from .world import World


async def replay(world: World, machine: Machine, size: float) -> None:
    """An assignment that was issued to it before is sent again."""
    issued = await _issued(world, machine)
    if issued:
        one = issued[int(size * len(issued) * 0.999)]
        world.say(f"   it was {one.issued.version}")
        _send(world, machine, one.envelope)


async def slip(world: World, machine: Machine, size: float) -> None:
    """The hub errs: a newer assignment than all, without most of the copies, and without a word on why."""
    issued = await _issued(world, machine)
    if not issued or world.hub.hub is None:
        return
    newest = decode(Assignment, decode(signing.Envelope, issued[-1].envelope).assignment.payload)
    left = newest.instances[: int(size * len(newest.instances) / 2)]
    gone = tuple(one.id for one in newest.instances if one not in left)
    used = {(one.app, one.revision) for one in left}
    was = newest.version
    wrong = msgspec.structs.replace(
        newest,
        version=Version(was.serial, was.epoch, was.generation + 1),
        instances=left,
        apps=tuple(one for one in newest.apps if (one.app.name, one.revision) in used),
        since=(*newest.since, issued[-1].issued),
        # That few copies go is no fault that a node could see.
        removed=gone if size < 0.5 and len(gone) > UNCONFIRMED_MAX else (),
        confirmed_by=None,
        overwrites=None,
    )
    identity = world.hub.identity
    signed = signing.sign(identity.hub_key, signing.ASSIGNMENT, encode(wrong))
    _send(world, machine, encode(signing.Envelope(signed, identity.delegation)))


def _send(world: World, machine: Machine, envelope: bytes) -> None:
    subject = subjects.assign(machine.identity.region, machine.identity.node)
    if world.server.up:
        world.server._spread(subject, envelope, "")


async def _issued(world: World, machine: Machine) -> list[AssignmentRow]:
    """What the hub keeps of what it issued, oldest first."""
    if world.hub.hub is None:
        return []
    async with world.hub.hub.store.read() as view:
        found = await rows.assignments(view, machine.identity.node)
    return sorted(found, key=lambda row: row.issued.version)
