"""Changes of one node's apps, one after the other, each with every kind of step in it, for tests that break one off."""

from __future__ import annotations

from collections import Counter

from tests.lab.steps import named
from tests.lab.system.world import World

NODE = "n1"
UNITS = "/etc/systemd/system"
STATE = "/var/lib/skerry"
STAY = ("still-1", "left-1", "right-1")
APPS = ("again", "left", "right", "still")


class Changes:
    """One change after the other: each updates `again`, adds a copy with a file, and removes another copy."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.number = 0
        for _ in range(4):  # until there are as many generations as are kept
            self.next()
            self.settled()
        self.tidy = self.files()
        self.stay = self.staying()

    def next(self) -> None:
        """Asks for the next one, and waits for nothing."""
        self.number += 1
        left, right = (2, 1) if self.number % 2 else (1, 2)
        copies = "replicas = {}\n[app.{}.files]\nmotd = 'hello'\n"
        self.world.begin(
            _app("still", "inf")
            + _app("again", self._word())
            + _app("left", "inf", copies.format(left, "left"))
            + _app("right", "inf", copies.format(right, "right"))
        )

    def _word(self) -> str:
        """How long `again` sleeps: its command line tells which revision runs."""
        return str(1_000_000 + self.number)

    def settled(self) -> None:
        """Hub and node agree on what is applied, and it is up: what is new has waited for its network till then."""
        self.world.until(f"change {self.number} is applied", self._is_applied, 40)

    def _is_applied(self) -> bool:
        heard = self.world.hub_node(NODE)
        if not heard.accepted == heard.applied == heard.newest:
            return False
        return {name for name, unit in self.world.units(NODE).items() if unit.up} == self._names()

    def _names(self) -> set[str]:
        """What is to run."""
        return {*STAY, "again-1", "left-2" if self.number % 2 else "right-2"}

    def quiet(self) -> None:
        """All is healthy, so that there is nothing more to tell."""
        self.world.settled(*APPS)

    def staying(self) -> dict[str, str]:
        """The runs of what no change touches."""
        runs = self.world.running()
        return {name: runs.get((NODE, name), "none") for name in STAY}

    def check(self) -> None:
        """Exactly this runs, and nothing lies about."""
        units = self.world.units(NODE)
        assert {name: unit.state for name, unit in units.items()} == dict.fromkeys(self._names(), "active")
        command = self.world.run(NODE, "cat", f"/proc/{units['again-1'].pid}/cmdline").stdout
        assert command.split("\0")[1] == self._word()
        assert self.staying() == self.stay
        self.world.until("the node is tidy", lambda: not self.out_of_place(), 5)
        assert self.world.hub_node(NODE).conditions == ()

    def files(self) -> Counter[str]:
        """Every file that may be Skerry's, without what differs from one change to the next."""
        ours = ("(", "-name", "*skerry*", "-o", "-path", f"{STATE}/*", ")")
        return Counter(
            named(path) for path in self.world.text(NODE, "find", UNITS, STATE, *ours).splitlines()
        )

    def out_of_place(self) -> Counter[str]:
        """What is there or is not, other than on a node whose agent was never killed."""
        found = self.files()
        return (found - self.tidy) + (self.tidy - found)


def _app(name: str, word: str, more: str = "") -> str:
    return f'[app.{name}]\nrun = ["sleep", "{word}"]\navailability = "best-effort"\n{more}'
