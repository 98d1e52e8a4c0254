"""What a plan consists of: each action in the imperative, with everything it needs. Plain frozen data.

Order matters and is the planner's business. The executor does them one after another. Where an action that names an
`instance` fails, the rest of that instance's actions are skipped, its last (`Settle`) too, and the others go on; after
any failure `Finish` is skipped. Each action may be repeated after a crash.
"""

from __future__ import annotations

from msgspec import Struct

from skerry_protocol.ids import InstanceId
from skerry_protocol.messages import Issued

from ..units.render import Content


class Begin(Struct, frozen=True, tag=True):
    """Record that the instance is being switched or removed: a crash or failure from here on leaves it half done."""

    instance: InstanceId


class WriteTree(Struct, frozen=True, tag=True):
    """Write the content folder `<instances>/<instance>/<name>`, whole, with a link `artifact` where there is one."""

    instance: InstanceId
    name: str
    files: dict[str, Content]
    artifact: str | None


class SwitchTree(Struct, frozen=True, tag=True):
    """Make `<instances>/<instance>/current` lead to `name`, by one rename."""

    instance: InstanceId
    name: str


class RemoveInstance(Struct, frozen=True, tag=True):
    """Remove `<instances>/<instance>`: rendered content only. Volumes lie elsewhere and stay."""

    instance: InstanceId


class WriteUnit(Struct, frozen=True, tag=True):
    """Write a file in the units folder. `instance` is None for the targets of a lease."""

    instance: InstanceId | None
    name: str
    text: str


class RemoveUnit(Struct, frozen=True, tag=True):
    """Remove a file from the units folder; an admin's drop-ins beside it stay."""

    instance: InstanceId | None
    name: str


class EnableUnit(Struct, frozen=True, tag=True):
    """Make the link `<target>.wants/<unit>`."""

    instance: InstanceId
    unit: str
    target: str


class DisableUnit(Struct, frozen=True, tag=True):
    """Remove the link `<target>.wants/<unit>`. `instance` is None for a unit that no record of this node names."""

    instance: InstanceId | None
    unit: str
    target: str


class Reload(Struct, frozen=True, tag=True):
    """daemon-reload."""


class StartUnit(Struct, frozen=True, tag=True):
    """Start and wait for the job. With `lease`, its target, systemd's refusal because that is over is no failure.

    A process that does not come up is no failure of the plan either: the unit was switched, health judges it.
    """

    instance: InstanceId
    unit: str
    lease: str | None = None


class RestartUnit(Struct, frozen=True, tag=True):
    """Restart (start, where it does not run) and wait for the job. `lease` and failures as in StartUnit."""

    instance: InstanceId
    unit: str
    lease: str | None = None


class StopUnit(Struct, frozen=True, tag=True):
    """Stop and wait until it is inactive or failed. A unit that is not loaded is stopped."""

    instance: InstanceId | None
    unit: str


class CheckStop(Struct, frozen=True, tag=True):
    """Fail where the unit's effective TimeoutStopUSec is over `limit_ms`: a drop-in made it outlive its lease."""

    instance: InstanceId
    unit: str
    limit_ms: int


class SetProperties(Struct, frozen=True, tag=True):
    """SetUnitProperties(unit, runtime): takes hold at once, without a restart. All values are of type t."""

    instance: InstanceId
    unit: str
    properties: dict[str, int]


class DropProperties(Struct, frozen=True, tag=True):
    """Remove the drop-ins that SetProperties left in /run/systemd/system.control: the unit file says the same."""

    instance: InstanceId
    unit: str


class Settle(Struct, frozen=True, tag=True):
    """The instance now is what the target says, or gone: record that as applied."""

    instance: InstanceId


class Finish(Struct, frozen=True, tag=True):
    """All that this assignment asks for is switched to: record it as applied."""

    issued: Issued


Action = (
    Begin | WriteTree | SwitchTree | RemoveInstance | WriteUnit | RemoveUnit | EnableUnit | DisableUnit | Reload
    | StartUnit | RestartUnit | StopUnit | CheckStop | SetProperties | DropProperties | Settle | Finish
)  # fmt: skip
