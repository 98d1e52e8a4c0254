"""A small model of a disk and a systemd, strict where the real one is forgiving in silence.

It fails a test that starts a unit in an older form than its file, starts a fenced one without its lease, lets a fenced
one outlive its lease's length, or names a file that is not Skerry's.
"""

from dataclasses import dataclass, field

from skerry_agent.switch.actions import (
    Action,
    Begin,
    CheckStop,
    DisableUnit,
    DropProperties,
    EnableUnit,
    Finish,
    Reload,
    RemoveInstance,
    RemoveUnit,
    RestartUnit,
    SetProperties,
    Settle,
    StartUnit,
    StopUnit,
    SwitchTree,
    WriteTree,
    WriteUnit,
)
from skerry_agent.switch.observed import Observed
from skerry_agent.switch.target import State, Target, begin, finish, settle
from skerry_protocol.ids import InstanceId


@dataclass
class Machine:
    """`started`: unit → how often a process was started. `ran`: what the running process was started from."""

    files: dict[str, str] = field(default_factory=dict)
    links: set[tuple[str, str]] = field(default_factory=set)
    trees: set[tuple[InstanceId, str]] = field(default_factory=set)
    current: dict[InstanceId, str] = field(default_factory=dict)
    loaded: dict[str, str] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)
    started: dict[str, int] = field(default_factory=dict)
    ran: dict[str, tuple[str, dict[InstanceId, str]]] = field(default_factory=dict)
    drop_ins: set[str] = field(default_factory=set)
    applied: State = field(default_factory=State)

    def observe(self) -> Observed:
        return Observed(
            files=dict(self.files),
            links=frozenset(self.links),
            trees=frozenset(self.trees),
            current=dict(self.current),
            active=frozenset(self.active),
            loaded=frozenset(self.loaded),
            stale=frozenset(name for name, text in self.loaded.items() if self.files.get(name, "") != text),
        )

    def open_lease(self, target: str) -> None:
        """The agent's grant: systemd starts what the target, as it was loaded, wants."""
        if target not in self.files:
            return
        self._load(target)
        self.active.add(target)
        for wanted_by, unit in sorted(self.links):
            if wanted_by == target:
                self._start(unit)

    def close_leases(self) -> None:
        for target in {name for name in self.active if name.endswith(".target")}:
            self.active.discard(target)
            for unit in list(self.active):
                if f"Requisite={target}\n" in self.loaded[unit]:
                    self.active.discard(unit)

    def do(self, action: Action, target: Target) -> None:
        match action:
            case Begin(instance=instance):
                self.applied = begin(self.applied, target, instance)
            case WriteTree(instance=instance, name=name):
                self.trees.add((instance, name))
            case SwitchTree(instance=instance, name=name):
                assert (instance, name) in self.trees
                self.current[instance] = name
            case RemoveInstance(instance=instance):
                self.trees = {tree for tree in self.trees if tree[0] != instance}
                self.current.pop(instance, None)
            case WriteUnit(name=name, text=text):
                assert name.startswith("skerry-")
                assert "/" not in name
                self.files[name] = text
            case RemoveUnit(name=name):
                assert name.startswith("skerry-")
                assert name not in self.active
                self.files.pop(name, None)
            case EnableUnit(unit=unit, target=wanted_by):
                self.links.add((wanted_by, unit))
            case DisableUnit(unit=unit, target=wanted_by):
                self.links.discard((wanted_by, unit))
            case Reload():
                kept = {name for name in self.loaded if name in self.active or name in self.files}
                self.loaded = {name: self.files.get(name, "") for name in kept}
            case StartUnit(unit=unit, lease=lease):
                if lease is None or lease in self.active:  # else systemd refuses: Requisite=
                    self._start(unit)
            case RestartUnit(unit=unit):
                self.active.discard(unit)
                self._start(unit)
            case StopUnit(unit=unit):
                self.active.discard(unit)
            case CheckStop(unit=unit):
                self._load(unit)
                assert self.loaded[unit] == self.files[unit]
            case SetProperties(unit=unit, properties=properties):
                assert unit in self.active
                assert properties
                self.drop_ins.add(unit)
            case DropProperties(unit=unit):
                self.drop_ins.discard(unit)
            case Settle(instance=instance):
                self.applied = settle(self.applied, target, instance)
            case Finish(issued=issued):
                self.applied = finish(self.applied, issued)

    def _load(self, unit: str) -> None:
        self.loaded.setdefault(unit, self.files[unit])

    def _start(self, unit: str) -> None:
        self._load(unit)
        text = self.loaded[unit]
        assert text == self.files[unit], f"{unit} would be started in an old form"
        for line in text.splitlines():
            if line.startswith("Requisite="):
                assert line.removeprefix("Requisite=") in self.active, f"{unit} has no lease"
        if unit not in self.active:
            self.active.add(unit)
            self.started[unit] = self.started.get(unit, 0) + 1
            self.ran[unit] = (text, dict(sorted(self.current.items())))
