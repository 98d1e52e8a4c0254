"""Power goes while a plan is applied, at twenty points: the node boots with the former plan or the new one, whole.

A point is a step: a system call of whoever writes the plan down, or of skerry-net (nft too), that changes files, the
kernel's network or namespaces. strace tells each when it is done, and keeps the next one waiting for long enough that
power is gone before it begins. How many steps there are is counted first, in each direction.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice

import pytest

from skerry_agent.network.records import Plan
from tests.vm.conftest import Says
from tests.vm.machine import Machine, MachineError
from tests.vm.mesh import FEW, MANY, UNIT, Node, encode_record, make_hub

CUTS, STRIDE = 20, 7  # early points and late ones in turn, so that what is broken shows soon
STEPS = "fsync,rename,unlink,sendto,sendmsg,mount,umount2,unshare,setns"
WAITS_US = 20_000
NO_MORE_S = 60.0  # so long none comes before all is done
WRITER = re.compile(r"writer (\d+)$")  # perhaps behind a line of strace's that is not finished yet
BEGUN = ""  # what every line begins with
STEP = re.compile(rf"(\[pid +\d+\] )?(<\.\.\. )?({STEPS.replace(',', '|')})(\(| resumed)(?!.*<unfinished)")
OTHER_OF = {FEW.digest: MANY, MANY.digest: FEW}


@pytest.fixture
def node(machines: Callable[[str, int], Machine]) -> Node:
    hub, node = machines("hub", 1), Node(machines("n1", 2), 1)
    for machine in (hub, node.machine):
        machine.on()
    make_hub(hub)
    node.prepare(FEW)
    node.reaches_hub()
    return node


def steps(node: Node, plan: Plan) -> Iterator[str]:
    """Has the plan written down. Its steps and skerry-net's, from the first that writes it on; it never ends."""
    pid = node.machine.text("systemctl", "show", "--value", "--property=MainPID", UNIT).strip()
    options = (
        f"--inject={STEPS}:delay_enter={WAITS_US}",
        f"--trace={STEPS}",
        "--signal=none",
        f"--attach={pid}",
    )
    writing = ("sh", "-c", 'echo "writer $$"; exec "$@"', "sh", *node.accepting)
    writer = "none yet"
    for line in node.machine.lines(
        "strace", "-f", "-qq", *options, *writing, data=encode_record(plan), within=NO_MORE_S
    ):
        if who := WRITER.search(line):
            writer = f"[pid {who[1]:>5}]"
        elif STEP.match(line) and line.startswith(writer):
            writer = BEGUN
            yield line


def count(node: Node, plan: Plan) -> int:
    """How many steps it takes to apply it."""
    seen: list[str] = []

    def listen() -> None:
        with suppress(MachineError):
            seen.extend(steps(node, plan))

    listening = threading.Thread(target=listen)
    listening.start()
    node.has(plan)
    number = len(seen)
    node.machine.text("pkill", "strace")
    listening.join()
    return number


def cut_after(node: Node, plan: Plan, number: int) -> str:
    """The step that power was cut after; empty where it was cut without having seen one."""
    done = [""]
    with suppress(MachineError):  # there were fewer this time: it is cut when all is done
        done.extend(islice(steps(node, plan), number))
    node.machine.cut()
    return done[-1]


def test_a_power_cut_leaves_the_former_plan_or_the_new_one_whole(node: Node, says: Says) -> None:
    counted = {plan.digest: count(node, plan) for plan in (MANY, FEW)}
    says(f"steps to more instances {counted[MANY.digest]}, to fewer {counted[FEW.digest]}")
    assert min(counted.values()) >= CUTS, "each cut is to be after another step"
    former, came = FEW, Counter[str]()
    for cut in range(CUTS):
        new = OTHER_OF[former.digest]
        number = 1 + cut * STRIDE % CUTS * counted[new.digest] // CUTS
        step = cut_after(node, new, number)
        assert step, "nothing was seen of the change that power was cut in"
        node.machine.on()
        now = node.has(former, new)
        assert node.spaces() == set(now.network.addresses)
        node.reaches_hub()
        came["new" if now == new else "former"] += 1
        says(f"cut {cut + 1:2} after step {number:3}: {'new' if now == new else 'former':6}  {step[:90]}")
        former = now
    assert set(came) == {"former", "new"}, came
