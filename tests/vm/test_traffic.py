"""What goes through the kernel's WireGuard between two instances, beside a bare tunnel: the figure `traffic` of
tests/bench, on a whole machine, whose one processor is emulated. Ratios count there, and little else.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.vm.conftest import Says
from tests.vm.image import ROOT
from tests.vm.machine import Machine
from tests.vm.mesh import PYTHON

FIGURES = "/tmp/figures.json"
WITHIN_S = 900.0


def test_what_goes_through_is_measured_beside_a_bare_tunnel(
    machines: Callable[[str, int], Machine], says: Says
) -> None:
    one = machines("n1", 2)
    one.on()
    bench = (PYTHON, "-m", "tests.bench", "--quick", "--json", FIGURES, "traffic")
    one.text("env", f"--chdir={ROOT}", *bench, within=WITHIN_S)
    rows = json.loads(one.read(FIGURES) or b"{}")["figures"]["traffic"]
    assert {row["what"].partition(":")[0] for row in rows} == {"kernel"}
    for row in rows:
        figures = (
            f"{row['ours']:.4g} {row['unit']}, a bare tunnel {row['reference']:.4g}: {row['ratio']:.2f} times"
        )
        says(f"{row['what']}: {figures}")
