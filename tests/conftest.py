"""What holds for every test: asyncio only, the lab needs root, and in CI nothing is skipped.

CI is on when CI or SKERRY_CI is set to anything but "", "0" or "false".
"""

import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

# No time limit for one example: these machines are shared, and how long it took is no property of the code.
# The same examples each time, so that a run can be repeated; `--hypothesis-profile hunt` looks for new ones.
settings.register_profile("skerry", deadline=None, derandomize=True)
settings.register_profile("hunt", deadline=None)
settings.load_profile("skerry")

# Whatever a shell script runs in the background ignores SIGINT, and so does all that it starts: Ctrl-C is tested here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LAB = Path(__file__).parent / "lab"
NO_ROOT = "the lab boots real nodes and needs root: run 'sudo make test'"

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def in_ci() -> bool:
    return any(os.environ.get(name, "").lower() not in {"", "0", "false"} for name in ("CI", "SKERRY_CI"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(LAB):
            item.add_marker(pytest.mark.lab)
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason=NO_ROOT))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _without_skips((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _without_skips((yield))


def _without_skips(report: Report) -> Report:
    """In CI a skipped test has failed; one that is expected to fail (xfail) is not skipped."""
    if in_ci() and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"a skip is a failure in CI: {reason}"
    return report
