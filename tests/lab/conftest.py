"""Labs with a stand-in for the hub, for tests of the lab itself. Each boots in half a second; each is gone after."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry_hub.lab import Lab

# Any program that listens will do.
STAND_IN = (sys.executable, "-m", "http.server", "--bind", "10.77.0.2", "--directory", "{data}", "8443")


@pytest.fixture
def bare_lab() -> Iterator[Lab]:
    """Nothing is up yet; what a test puts up is taken down, also when the tests are killed if it is tied."""
    with Lab(f"test-{os.getpid()}") as lab:
        yield lab


@pytest.fixture
def lab(bare_lab: Lab, tmp_path: Path) -> Lab:
    """Two nodes without agents, and a stand-in for the hub."""
    bare_lab.up(2, hub_argv=STAND_IN, units=tmp_path, tied=True)
    return bare_lab
