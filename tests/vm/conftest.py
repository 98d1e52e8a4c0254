"""Whole machines take minutes: `make vm-test` asks for them with SKERRY_VM, and nothing else collects them."""

import os
import shutil
import time
from collections.abc import Callable, Iterator

import pytest

from tests.vm import image
from tests.vm.machine import Cable, Machine

collect_ignore_glob = [] if os.environ.get("SKERRY_VM") else ["test_*.py"]
FIGURES = pytest.StashKey[list[str]]()
Says = Callable[[str], None]


@pytest.fixture(scope="session")
def first() -> Iterator[image.Image]:
    """What every machine begins with. Its folder has the name of this process, by which a later run clears up."""
    debian = image.made()
    folder = debian.parent / f"run-{os.getpid()}"
    folder.mkdir()
    try:
        yield image.make(debian, folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def machines(first: image.Image) -> Iterator[Callable[[str, int], Machine]]:
    """Makes machines on one cable. All of them are gone in the end."""
    cable, made = Cable(), list[Machine]()

    def make(name: str, number: int) -> Machine:
        made.append(Machine(name, number, first, cable, first.disk.parent))
        return made[-1]

    yield make
    for one in made:
        one.cut()
        one.disk.unlink()


@pytest.fixture(scope="session")
def says(request: pytest.FixtureRequest) -> Says:
    """Figures, shown when all is over; with `-s` at once too."""
    figures = request.config.stash.setdefault(FIGURES, [])
    began = time.monotonic()

    def say(text: str) -> None:
        figures.append(f"{time.monotonic() - began:6.0f} s  {text}")
        print(figures[-1], flush=True)

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(FIGURES, []):
        terminalreporter.write_line(line)
