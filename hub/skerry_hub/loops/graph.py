"""The control loops as one explicit graph of steps with declared reads and writes.

Owns the order of the steps and what each may see and change. A field has exactly one writer; an edge runs from the
writer of a field to each reader of it, but not to those that read it as `previous` (as of the last commit). What is
wrong with the declarations is found when the graph is made, at start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

Fields = Mapping[str, object]
Run = Callable[[Fields, object], Fields]


class BadGraph(ValueError):
    """The steps' declarations contradict each other; the text names the steps and fields."""


@dataclass(frozen=True)
class Step:
    """One step. `run(view, context)` gets the fields it declared and returns new values of fields it writes."""

    name: str
    reads: frozenset[str]
    writes: frozenset[str]
    previous: frozenset[str]
    run: Run = field(compare=False)


class Graph:
    """Steps in an order in which each comes after the writers of what it reads."""

    def __init__(self, steps: list[Step] | tuple[Step, ...]) -> None:
        """Raises BadGraph for a name or a field with two owners, a field both read and read as previous, a cycle."""
        self.owners = _owners(steps)
        self.steps = _ordered(steps, self.owners)

    def run(self, view: Fields, context: object) -> dict[str, object]:
        """Runs all steps on `view`, the last commit; gives the new values. Raises BadGraph for an undeclared write."""
        written: dict[str, object] = {}
        for step in self.steps:
            made = step.run(self._shown(step, view, written), context)
            undeclared = sorted(set(made) - step.writes)
            if undeclared:
                raise BadGraph(f"step '{step.name}' wrote '{undeclared[0]}', which it did not declare")
            written.update(made)
        return written

    def _shown(self, step: Step, view: Fields, written: Fields) -> dict[str, object]:
        """Only what the step declared: fresh values where an earlier step made them, else those of the last commit."""
        shown: dict[str, object] = {}
        for name in sorted(step.reads | step.previous):
            source = written if name in step.reads and name in written else view
            if name not in source:
                raise BadGraph(f"step '{step.name}' reads '{name}', which nobody gives")
            shown[name] = source[name]
        return shown


def _owners(steps: list[Step] | tuple[Step, ...]) -> dict[str, str]:
    owners: dict[str, str] = {}
    names: set[str] = set()
    for step in steps:
        if step.name in names:
            raise BadGraph(f"two steps are named '{step.name}'")
        names.add(step.name)
        both = sorted(step.reads & step.previous)
        if both:
            raise BadGraph(f"step '{step.name}' reads '{both[0]}' both as it becomes and as it was")
        for name in sorted(step.writes):
            if name in owners:
                raise BadGraph(f"field '{name}' has two owners: '{owners[name]}' and '{step.name}'")
            owners[name] = step.name
    return owners


def _ordered(steps: list[Step] | tuple[Step, ...], owners: Mapping[str, str]) -> tuple[Step, ...]:
    by_name = {step.name: step for step in steps}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for step in steps:
        before = {owners[name] for name in step.reads if name in owners} - {step.name}
        sorter.add(step.name, *sorted(before))
        if step.reads & step.writes:
            name = min(step.reads & step.writes)
            raise BadGraph(f"step '{step.name}' reads '{name}', which it writes itself (read it as previous)")
    try:
        return tuple(by_name[name] for name in sorter.static_order())
    except CycleError as error:
        raise BadGraph("the steps form a cycle: " + " → ".join(error.args[1])) from error
