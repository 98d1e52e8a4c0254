from skerry_netplan.firewall import Guarded, rules
from skerry_netplan.planner import Planner
from skerry_netplan.state import Space
from skerry_protocol.ids import NodeId
from skerry_protocol.network import AppNetwork, Port

from .regions import WEB, at, copy, region, says

ONE = copy("web", 1, 1)
PLAN = Planner(region(1, ONE, web=says())).plan(NodeId("id1"))
SPACE = Space("skerry-x", "sk-x", at(ONE), "100.127.240.1")


def table(network: AppNetwork) -> str:
    return rules(PLAN, {ONE.id: SPACE}, {ONE.id: Guarded(WEB, network)}).text


def test_what_is_published_leads_to_its_port() -> None:
    assert f"tcp dport 8443 dnat ip6 to [{at(ONE)}]:80" in table(
        AppNetwork({"http": Port(80)}, publish={"http": 8443})
    )


def test_a_port_that_the_app_does_not_have_is_published_to_nobody() -> None:
    assert table(AppNetwork(publish={"http": 8443})) == table(AppNetwork())
