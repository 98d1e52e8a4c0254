import pytest

from skerry_hub.lab import LabError
from skerry_hub.lab.addresses import Address
from skerry_hub.lab.layout import HUB, Host, Paths, hosts_file, lab_name, node_names


@pytest.mark.parametrize("name", ["lab", "a", "0", "x" * 32, "test-1"])
def test_names_of_labs(name: str) -> None:
    assert lab_name(name) == name
    # A path of a unix socket has at most 107 bytes, see unix(7).
    assert len(str(Paths(name).control)) < 108


@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "..", "x" * 33, "a\n", "é"])
def test_names_that_no_lab_has(name: str) -> None:
    with pytest.raises(LabError, match="cannot use"):
        lab_name(name)


def test_nodes_are_numbered_or_named() -> None:
    assert node_names(3) == ("n1", "n2", "n3")
    assert node_names(0) == ()
    assert node_names(("harbour", "n-2")) == ("harbour", "n-2")


@pytest.mark.parametrize("name", ["hub", "keeper", "lo", "", "1", "N1", "a b", "x" * 16, "../x", "n1\n"])
def test_names_that_no_node_has(name: str) -> None:
    with pytest.raises(LabError, match="cannot call a node"):
        node_names((name,))


def test_nodes_have_different_names_and_are_not_too_many() -> None:
    with pytest.raises(LabError, match="the same name"):
        node_names(("a", "a"))
    for count in (-1, 251, 10**9):
        with pytest.raises(LabError, match="it takes 0 to 250"):
            node_names(count)


def test_hosts_file_names_all() -> None:
    assert hosts_file({HUB: Address(0), Host("n1"): Address(1)}).splitlines() == [
        "127.0.0.1 localhost",
        "::1 localhost ip6-localhost ip6-loopback",
        "10.77.0.2 hub",
        "fd77:0:0:0::2 hub",
        "10.77.1.2 n1",
        "fd77:0:0:1::2 n1",
    ]
