from itertools import product

from hypothesis import given

from skerry_netplan.firewall import Guarded, rules
from skerry_netplan.lower import Here, lower
from skerry_netplan.model import Region
from skerry_netplan.planner import Planner
from skerry_netplan.state import KeyRole, Space
from skerry_protocol.ids import NodeId
from skerry_protocol.network import AppNetwork, Port, Transport

from .regions import WEB, at, copy, key, region, regions, says

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


def test_what_every_packet_comes_by_is_as_long_with_many_instances_as_with_one() -> None:
    """It once took half of the throughput of a node with a hundred."""
    here = [copy("web", number, 1) for number in range(1, 51)]
    few, many = (lowered(region(1, *some, web=says(main=80)), "id1") for some in (here[:1], here))
    for name in ("sources", "forward", "input"):
        assert len(chain(many, name)) == len(chain(few, name)) > 3, name


def test_an_instance_speaks_by_its_own_addresses_alone() -> None:
    text = table(AppNetwork())
    assert f'elements = {{ "sk-x" . {at(ONE)} }}' in text
    assert 'elements = { "sk-x" . 100.127.240.1 }' in text
    drops = [line.strip() for line in chain(text, "sources") if "@known" in line]
    assert [line.rpartition("!= ")[2] for line in drops] == ["@own6 drop", "@own4 drop"]


def lowered(one: Region, node: str) -> str:
    """The table of a node that permits all of its copies what they ask for."""
    here = [(copy, Guarded(copy.app, one.apps[copy.app])) for copy in one.copies if copy.node == node]
    known = Here(
        {KeyRole.LINK: key(1), KeyRole.DIRECT: key(2)}, 1, 2,
        guarded={copy.id: said for copy, said in here if not copy.host},
        hosted=tuple(said for copy, said in here if copy.host),
    )  # fmt: skip
    return lower(Planner(one).plan(NodeId(node)), known).rules.text


def chain(text: str, name: str) -> list[str]:
    """The lines of one chain of a table."""
    return text.partition(f"chain {name} {{")[2].partition("\n\t}")[0].splitlines()


def lets_in(text: str, client: str, server: str, port: Port) -> bool:
    """Whether the node itself hears at `server`, its own address, what `client` sends to this port."""
    for line in chain(text, "input"):
        to, _, rest = line.strip().partition(" ip6 saddr { ")
        who, _, what = rest.partition(" }")
        ports = what.partition("th dport { ")[2].partition(" }")[0].split(", ")
        ends = to == f"ip6 daddr {server}" and client in who.split(", ")
        if ends and f"{port.transport} . {port.number}" in ports and line.endswith(" accept"):
            return True
    return False


def test_a_copy_on_the_network_of_its_node_is_heard_by_those_that_reach_it() -> None:
    web, db, log = copy("web", 1, 1), copy("db", 1, 2, True), copy("log", 1, 3)
    dns = AppNetwork({"sql": Port(5432), "dns": Port(53, Transport.UDP)})
    one = region(3, web, db, log, web=says("db"), db=dns, log=says("web"))
    text = lowered(one, "id2")
    assert lets_in(text, at(web), at(db), Port(5432))
    assert lets_in(text, at(web), at(db), Port(53, Transport.UDP))
    assert not lets_in(text, at(web), at(db), Port(53))
    assert not lets_in(text, at(log), at(db), Port(5432))


def test_without_its_word_nobody_reaches_a_copy_on_the_network_of_its_node() -> None:
    one = region(2, copy("web", 1, 1), copy("db", 1, 2, True), web=says("db"), db=says(sql=5432))
    plan = Planner(one).plan(NodeId("id2"))
    assert not lets_in(rules(plan, {}, {}).text, at(one.copies[0]), at(one.copies[1]), Port(5432))


@given(regions())
def test_a_node_hears_for_its_host_copies_those_that_reach_them_and_nobody_else(one: Region) -> None:
    texts = {node: lowered(one, node) for node in one.members}
    for client, server in product(one.copies, one.copies):
        if server.host:
            meant = any(
                other.app in one.apps[rival.app].reaches
                and one.address_of(rival) == one.address_of(client)
                and one.apps[other.app].ports == one.apps[server.app].ports
                for rival, other in product(one.copies, one.copies)
                if other.host and other.node == server.node
            )
            (port,) = one.apps[server.app].ports.values()
            assert lets_in(texts[server.node], at(client), at(server), port) == meant


@given(regions())
def test_a_node_without_host_copies_opens_nothing_of_its_own(one: Region) -> None:
    for node in one.members:
        if not any(copy.host and copy.node == node for copy in one.copies):
            assert not [line for line in chain(lowered(one, node), "input") if "saddr" in line]
