from skerry_hub.lab.addresses import Address, Outside, in_site

ALL = [Address(number) for number in range(251)]


def test_no_two_machines_share_an_address() -> None:
    for kind in ("ipv4", "ipv6", "mac"):
        assert len({getattr(address, kind) for address in ALL}) == 251
    assert ALL[0].ipv4 == "10.77.0.2"
    assert ALL[250].ipv4 == "10.77.250.2"
    assert ALL[250].ipv6 == "fd77:0:0:fa::2"


def test_the_first_two_nodes_share_a_lan_and_nobody_else_does() -> None:
    assert [(one.ipv4, one.router4) for one in ALL[1:4]] == [
        ("10.77.1.2", "10.77.1.1"),
        ("10.77.1.3", "10.77.1.1"),
        ("10.77.3.2", "10.77.3.1"),
    ]
    assert (ALL[2].ipv6, ALL[2].router6) == ("fd77:0:0:1::3", "fd77:0:0:1::1")
    assert len({address.site for address in ALL}) == 250
    assert in_site(1) == (ALL[1], ALL[2])
    assert in_site(250) == (ALL[250],)


def test_an_outside_address_is_one_sites_own_however_often_it_moves() -> None:
    seen = [Outside(site, moves) for site in (1, 3) for moves in range(250)]
    for kind in ("ipv4", "ipv6"):
        assert len({getattr(outside, kind) for outside in seen}) == 500
    assert (seen[0].ipv4, seen[1].ipv4, seen[249].ipv4) == ("10.78.1.2", "10.78.1.3", "10.78.1.251")
    assert Outside(1, 250).ipv4 == "10.78.1.2"
    assert (seen[1].ipv6, seen[1].gateway6) == ("fd78:0:0:1::3", "fd78:0:0:1::1")
