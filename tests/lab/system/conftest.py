"""A mesh for each file of system tests: a hub, and nodes that have joined it. A file says how many in NODES, and in
INIT what its hub is made with.
"""

import os
from collections.abc import Generator, Iterator

import pytest

from skerry_hub.lab import Lab, mesh
from tests.forking import Forks
from tests.lab.system.world import World

FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture(scope="session")
def commands() -> Iterator[Forks]:
    """`skerry`."""
    made = Forks("tests.lab.system.commands")
    yield made
    made.end()


@pytest.fixture(scope="module")
def mesh_of_file(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, commands: Forks
) -> Iterator[World]:
    """Its lab's name is this file's and this process's own, so that files may run beside each other."""
    module = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    nodes = tuple(f"n{number}" for number in range(1, getattr(request.module, "NODES", 2) + 1))
    with Lab(f"{module[:20]}-{os.getpid()}") as lab:
        lab.up(nodes, hub=False, tied=True)
        mesh.make_hub(lab, *getattr(request.module, "INIT", ()))
        lab.hub_start()
        if getattr(request.module, "JOINED", True):
            mesh.join(lab, nodes)
        yield World(lab, nodes, tmp_path_factory.mktemp(module), commands)


@pytest.fixture
def world(mesh_of_file: World, request: pytest.FixtureRequest) -> Iterator[World]:
    """The file's mesh, whole again after each test; apps stay, so each test names its own."""
    yield mesh_of_file
    if request.node.stash.get(FAILED, False):
        print(mesh_of_file.story())
    mesh_of_file.mend()
