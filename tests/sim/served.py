"""Serves the simulator's commands to tests (see tests.forking): they replace their process's clock and entropy."""

from __future__ import annotations

from tests.forking import serve

from .start import start


def main() -> None:
    """Until there is nothing more to read."""
    start("tests.sim.served")
    from . import __main__, commands, rules, scenario  # noqa: F401, PLC0415 - after the stand-ins, like all of them
    from .run import run  # noqa: PLC0415

    run(0, [])  # so that each command finds what is made once by whoever is first
    serve({"tests.sim": __main__.main, "tests.sim.scenario": scenario.main})


if __name__ == "__main__":
    main()
