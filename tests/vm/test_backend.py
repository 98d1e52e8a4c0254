"""The suite that every backend of WireGuard passes, on the kernel's own: in a machine whose kernel has one."""

from __future__ import annotations

from collections.abc import Callable

from tests.vm.image import ROOT
from tests.vm.machine import Machine
from tests.vm.mesh import PYTHON

SUITE = ("tests/lab/network/test_tunnels.py", "-k", "[kernel]")
WITHIN_S = 300.0


def test_the_kernels_own_wireguard_does_what_every_backend_does(
    machines: Callable[[str, int], Machine],
) -> None:
    machine = machines("kernel", 1)
    machine.on()
    machine.text("modprobe", "wireguard")
    done = machine.run(
        "env", f"--chdir={ROOT}", PYTHON, "-m", "pytest", "-q", "-m", "lab", "-p", "no:cacheprovider",
        "-o", "faulthandler_timeout=0", *SUITE, within=WITHIN_S,
    )  # fmt: skip
    assert done.rc == 0, done.out + done.err
    assert " passed" in done.out
    assert " skipped" not in done.out
