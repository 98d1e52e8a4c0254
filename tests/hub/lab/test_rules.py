"""What the rules do is seen in tests/lab/test_lab_nat.py; here, what they are made for."""

from skerry_hub.lab.rules import KERNELS_TIMEOUT, Rules


def test_what_is_open_has_no_nat() -> None:
    text = Rules(1, "open").text()
    assert "masquerade" not in text
    assert "dnat" not in text
    assert " drop" not in text


def test_each_machine_of_a_cone_has_ports_of_its_own() -> None:
    both, one = Rules(1, "cone").text(), Rules(3, "cone").text()
    assert "saddr 10.77.1.2 meta l4proto udp update @ports0 { udp sport }" in both
    assert "saddr 10.77.1.3 meta l4proto udp update @ports1 { udp sport ^ 0xffff }" in both
    assert "saddr 10.77.3.2 meta l4proto udp update @ports0 { udp sport }" in one
    assert "ports1" not in one


def test_a_mapping_lives_as_long_as_asked_for() -> None:
    assert Rules(1).timeouts() == KERNELS_TIMEOUT
    assert "timeout 120s" in Rules(1).text()
    assert Rules(1, udp_timeout=5).timeouts() == (5, 5)
    assert "timeout 5s" in Rules(1, udp_timeout=5).text()


def test_rules_are_replaced_in_one_transaction() -> None:
    assert Rules(1).again().startswith("table inet router\ndelete table inet router\n")
    assert Rules(1).again().endswith(Rules(1).text())


def test_only_who_is_silent_drops_the_word_of_what_was_too_big() -> None:
    for nat in ("open", "cone", "symmetric"):
        assert "packet-too-big" not in Rules(3, nat).text()
        assert "packet-too-big drop" in Rules(3, nat, silent=True).text()
