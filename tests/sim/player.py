"""Plays a scenario: finds each command, does it to a mesh, and keeps what it prints.

What there is to say is in `commands`. A promise that is broken is printed where it was broken, whatever was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .machine import Machine
from .run import LEDGER_STOP_S, LOOK_S, forms
from .scenario import Fault, Line
from .universe import Universe
from .watch import Fenced, Watch
from .world import World

Play = Callable[["Player", list[str]], Awaitable[list[str]]]


@dataclass(frozen=True)
class Command:
    """A word or two, what follows them (`[X]`: or not, `X...`: one or more), and what it does."""

    usage: str
    play: Play

    @property
    def name(self) -> str:
        return " ".join(word for word in self.usage.split() if word.islower())

    def fits(self, words: list[str]) -> bool:
        """Whether so many words may follow."""
        takes = [word for word in self.usage.split() if not word.islower()]
        least = sum(1 for word in takes if not word.startswith("["))
        many = any(word.endswith("...") for word in takes)
        return least <= len(words) and (many or len(words) <= len(takes))


COMMANDS: dict[str, Command] = {}


def command(usage: str) -> Callable[[Play], Play]:
    """A command of scenarios."""

    def keep(play: Play) -> Play:
        made = Command(usage, play)
        COMMANDS[made.name] = made
        return play

    return keep


class Player:
    """One mesh, and what was said of it so far."""

    def __init__(self, world: World, watch: Watch) -> None:
        self.world, self.watch = world, watch
        self.apps = forms()
        self.told = 0
        self.broken = 0

    def machine(self, name: str) -> Machine:
        if name not in self.world.machines:
            raise Fault(f"there is no machine {name} ({', '.join(sorted(self.world.machines))})")
        return self.world.machines[name]

    def up(self) -> None:
        """Raises Fault where there is no hub to ask."""
        if self.world.hub.hub is None:
            raise Fault("the hub is down ('start hub')")

    async def do(self, words: tuple[str, ...]) -> list[str]:
        """One command. Raises Fault."""
        for count in (2, 1):
            found = COMMANDS.get(" ".join(words[:count]))
            if found is not None:
                break
        else:
            raise Fault("there is no such command ('--commands' lists them)")
        rest = list(words[count:])
        if not found.fits(rest):
            raise Fault(f"it takes '{found.usage}'")
        self.world.say(f"-> {' '.join(words)}")
        printed = await found.play(self, rest)
        new = [f"BROKEN {text}" for text in self.watch.breaches[self.broken :]]
        self.broken = len(self.watch.breaches)
        return [*printed, *new]


def play(lines: list[Line], name: str, seed: int = 1) -> tuple[dict[int, list[str]], list[str]]:
    """What each command printed, by its line, and the history. Raises Fault."""
    universe = Universe(seed)
    universe.enter()
    asyncio.set_event_loop(universe.loop)
    try:
        return universe.loop.run_until_complete(_play(universe, lines, name))
    finally:
        universe.leave()


async def _play(universe: Universe, lines: list[Line], name: str) -> tuple[dict[int, list[str]], list[str]]:
    world = await World.begin(universe, [])
    watch = Watch(world, {"ledger": Fenced("ledger", LEDGER_STOP_S)})
    player, printed = Player(world, watch), {}
    looking = asyncio.ensure_future(watch.keep_looking(LOOK_S))
    try:
        for line in lines:
            if line.words is not None:
                printed[line.number] = await _one(player, line, name)
    finally:
        looking.cancel()
        await world.end()
    return printed, world.history


async def _one(player: Player, line: Line, name: str) -> list[str]:
    assert line.words is not None
    try:
        return await player.do(line.words)
    except Fault as error:
        raise Fault(f"{name}:{line.number}: cannot do {' '.join(line.words)!r}: {error}") from None
