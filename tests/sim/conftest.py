"""One process for all plays of a test process."""

from collections.abc import Iterator

import pytest

from tests.forking import Forks


@pytest.fixture(scope="session")
def plays() -> Iterator[Forks]:
    """`python -m` the simulator's modules."""
    made = Forks("tests.sim.served")
    yield made
    made.end()
