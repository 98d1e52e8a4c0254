"""Which interfaces are told to go on taking their address from the network once the machine forwards."""

from __future__ import annotations

from pathlib import Path

from skerry_netplan.kernel.forwarding import taking


def test_those_that_do_now_and_one_that_goes_while_one_looks_is_none(tmp_path: Path) -> None:
    for name, value in {"eth0": "1", "eth1": "0", "wlan0": "2", "gone0": None}.items():
        (tmp_path / name).mkdir()
        if value is not None:
            (tmp_path / name / "accept_ra").write_text(f"{value}\n", "ascii")
    assert taking(tmp_path) == ["eth0"]
