"""What is missing is named, all at once, before anything is made."""

from pathlib import Path

import pytest

from skerry_hub.lab import LabError, cgroups, preflight

GB = 1 << 30


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine that has everything, whatever this one has."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.access", lambda path, mode: True)
    monkeypatch.setattr("shutil.which", lambda name, path: f"/usr/bin/{name}")
    monkeypatch.setattr(preflight, "_has_overlay", lambda: True)
    monkeypatch.setattr(preflight, "_free_memory", lambda: 8 * GB)
    monkeypatch.setattr(preflight, "free_inotify", lambda wanted: wanted)
    monkeypatch.setattr(cgroups, "on_host", lambda: Path("/sys/fs/cgroup"))
    monkeypatch.setattr(Path, "exists", lambda path: True)
    return monkeypatch


def refusal(nodes: int = 3) -> str:
    with pytest.raises(LabError) as caught:
        preflight.check(nodes)
    return str(caught.value)


@pytest.mark.usefixtures("able")
def test_nothing_is_missing() -> None:
    preflight.check(3)


def test_all_that_is_missing_is_in_one_line(able: pytest.MonkeyPatch) -> None:
    able.setattr("os.geteuid", lambda: 1000)
    able.setattr("shutil.which", lambda name, path: None if name in {"nft", "systemd-nspawn"} else name)
    able.setattr(Path, "exists", lambda path: path != preflight.BUS)
    assert refusal() == (
        "cannot make a lab here: it lacks root's rights, nft, systemd-nspawn, dbus"
        " (apt-get install dbus nftables systemd-container)"
    )


def test_wireguard_may_be_in_the_kernel_or_a_program(able: pytest.MonkeyPatch) -> None:
    able.setattr(Path, "exists", lambda path: path != Path("/sys/module/wireguard"))
    preflight.check(3)
    able.setattr("shutil.which", lambda name, path: None if name == "wireguard-go" else name)
    able.setattr(Path, "glob", lambda path, pattern: iter(()))
    assert refusal() == "cannot make a lab here: it lacks wireguard-go (apt-get install wireguard-go)"


def test_memory_is_counted_by_nodes(able: pytest.MonkeyPatch) -> None:
    able.setattr(preflight, "_free_memory", lambda: 400 << 20)
    preflight.check(3)
    assert refusal(5) == "cannot make a lab here: it lacks memory (448 MB for 5 nodes, 400 MB are free)"


def test_too_few_inotify_instances_say_what_to_set(able: pytest.MonkeyPatch) -> None:
    able.setattr(preflight, "_inotify_limit", lambda: 128)
    able.setattr(preflight, "free_inotify", lambda wanted: min(wanted, 20))
    preflight.check(2)
    assert refusal(3) == (
        "cannot make a lab here: it lacks inotify instances (27 for 3 nodes, 20 of 128 are free:"
        " sysctl fs.inotify.max_user_instances=640)"
    )


def test_inotify_instances_that_are_tried_are_given_back() -> None:
    files = Path("/proc/self/fd")
    before = len([*files.iterdir()])
    assert preflight.free_inotify(2) == 2
    assert preflight.free_inotify(0) == 0
    assert len([*files.iterdir()]) == before


def test_kernel_parts(able: pytest.MonkeyPatch) -> None:
    able.setattr(preflight, "_has_overlay", lambda: False)
    able.setattr(cgroups, "on_host", lambda: None)
    assert refusal() == (
        "cannot make a lab here: it lacks overlayfs in the kernel, a cgroup2 tree that is mounted and can be written to"
    )


def test_cgroup2_is_found_beside_version_1() -> None:
    mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
    assert cgroups.on_host(mounts) is None
    hybrid = mounts + "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
    assert cgroups.on_host(hybrid) == Path("/sys/fs/cgroup/unified")
