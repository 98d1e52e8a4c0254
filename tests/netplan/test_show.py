"""Plans for people: nothing in them is left out, and what changes is all that is shown."""

from __future__ import annotations

from hypothesis import given

from skerry_netplan.model import Region
from skerry_netplan.planner import Planner
from skerry_netplan.show import changes, lines
from skerry_protocol.ids import AppName, InstanceId, NodeName
from skerry_protocol.network import CopyAt, HubAt, Mate, Neighbour, Network, Port

from .regions import regions

PLAN = Network(
    "fd00:1::/48", "fd00:1:0:100::/56", "fd00:1:0:100:2::/80",
    (HubAt(b"h" * 32, "fd00:1:0:100::1", ("hub.example:51820",)),),
    (Mate(NodeName("n2"), "fd00:1:0:100:3::/80", b"m" * 32),),
    {InstanceId("web-1-aaaaaaaaaa"): "fd00:1:0:100:2::5"},
    (Neighbour(AppName("db"), (CopyAt(1, "fd00:1:0:100:3::6"),), {"pg": Port(5432)}, (AppName("web"),)),),
)  # fmt: skip
TEXT = """\
address fd00:1:0:100:2::1 of fd00:1:0:100:2::/80, in the region's fd00:1:0:100::/56
hub fd00:1:0:100::1 by hub.example:51820, key 6868686868686868
node n2 fd00:1:0:100:3::/80, direct tunnels, key 6d6d6d6d6d6d6d6d
instance web-1-aaaaaaaaaa fd00:1:0:100:2::5
app db: pg 5432/tcp, reaches web
copy db-1 fd00:1:0:100:3::6
"""


def test_a_plan_as_it_is_read() -> None:
    assert "\n".join((*lines(PLAN), "")) == TEXT
    assert changes(None, PLAN) == tuple(f"+ {line}" for line in lines(PLAN))
    assert changes(PLAN, None) == tuple(f"- {line}" for line in lines(PLAN))


@given(regions(), regions())
def test_what_changes_leads_from_one_plan_to_the_other(one: Region, other: Region) -> None:
    before, after = Planner(one).plan(min(one.members)), Planner(other).plan(min(other.members))
    said = changes(before, after)
    gone = {line[2:] for line in said if line.startswith("- ")}
    come = {line[2:] for line in said if line.startswith("+ ")}
    assert set(lines(before)) - gone | come == set(lines(after))
    assert (said == ()) == (before == after)
