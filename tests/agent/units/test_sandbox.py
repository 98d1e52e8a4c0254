from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.units.sandbox import SHUT, lines
from skerry_protocol.sandbox import Kind, Word

WORDS = {
    "host-network": Word(Kind.HOST_NETWORK),
    "path": Word(Kind.HOST_PATH, "/srv/www"),
    "write": Word(Kind.HOST_PATH_WRITE, "/var/log/app"),
    "home": Word(Kind.HOME),
    "devices": Word(Kind.DEVICES),
    "device": Word(Kind.DEVICE, "/dev/ttyS0"),
    "capability": Word(Kind.CAPABILITY, "CAP_NET_RAW"),
    "user": Word(Kind.USER, "www"),
    "memory": Word(Kind.EXEC_MEMORY),
    "namespaces": Word(Kind.NAMESPACES),
    "calls": Word(Kind.SYSTEM_CALLS),
}
# What each word may change or leave out; everything else has to stay as it is.
OPENS = {
    "host-network": {"PrivateNetwork", "BindReadOnlyPaths"},
    "path": {"BindReadOnlyPaths", "InaccessiblePaths", "TemporaryFileSystem"},
    "write": {"BindPaths", "InaccessiblePaths", "TemporaryFileSystem"},
    "home": {"ProtectHome", "BindReadOnlyPaths"},
    "devices": {"PrivateDevices", "ProtectClock", "DevicePolicy", "BindReadOnlyPaths"},
    "device": {"PrivateDevices", "DevicePolicy", "DeviceAllow", "BindReadOnlyPaths"},
    "capability": {"PrivateUsers", "CapabilityBoundingSet", "AmbientCapabilities"},
    "user": {"DynamicUser", "PrivateUsers", "User"},
    "memory": {"MemoryDenyWriteExecute"},
    "namespaces": {"RestrictNamespaces", "SystemCallFilter"},
    "calls": {"SystemCallFilter", "SystemCallErrorNumber"},
}


def test_every_kind_of_word_is_known_here() -> None:
    assert {word.kind for word in WORDS.values()} == set(Kind)


@given(st.sets(st.sampled_from(sorted(WORDS))))
def test_words_open_what_they_say_and_nothing_else(names: set[str]) -> None:
    written = lines(WORDS[name] for name in names)
    opened = {key for name in names for key in OPENS[name]}
    for line in lines(()):
        assert line in written or line[0] in opened
    assert all(line in lines(()) or line[0] in opened for line in written)


@given(st.sets(st.sampled_from(sorted(WORDS))))
def test_a_namespace_of_the_mesh_takes_the_place_of_an_empty_one_and_changes_nothing_else(
    names: set[str],
) -> None:
    words = [WORDS[name] for name in names if name != "host-network"]
    alone, meshed = lines(words), lines(words, "skerry-web-0-aaaaaaaaaa")
    assert set(alone) - set(meshed) == {("PrivateNetwork", "yes")}
    assert {key for key, _ in set(meshed) - set(alone)} == {"NetworkNamespacePath", "BindReadOnlyPaths"}


def test_nothing_asked_is_everything_shut() -> None:
    assert lines(())[: len(SHUT)] == SHUT


def test_a_hidden_folder_is_emptied_where_something_in_it_shows() -> None:
    written = lines([WORDS["path"], WORDS["write"]])
    assert ("TemporaryFileSystem", "/srv:ro") in written
    assert ("InaccessiblePaths", "-/srv") not in written
    assert ("BindReadOnlyPaths", "/srv/www") in written
    assert ("BindPaths", "/var/log/app") in written


def test_all_devices_are_not_narrowed_by_one() -> None:
    written = lines([WORDS["devices"], WORDS["device"]])
    assert ("DevicePolicy", "auto") in written
    assert not any(key == "DeviceAllow" for key, _ in written)


def test_every_system_call_is_not_narrowed_by_namespaces() -> None:
    assert not any(key == "SystemCallFilter" for key, _ in lines([WORDS["calls"], WORDS["namespaces"]]))


def test_the_sockets_of_other_services_in_run_are_out_of_sight() -> None:
    """A read-only mount keeps nobody from connecting to the system bus."""
    shown = [value for key, value in lines(()) if key == "BindReadOnlyPaths"]
    assert ("TemporaryFileSystem", "/run:ro") in lines(())
    assert shown == ["-/run/systemd/journal", "-/run/systemd/userdb"]
    asked = lines([WORDS["host-network"], Word(Kind.HOST_PATH, "/run/dbus")])
    assert {("BindReadOnlyPaths", "-/run/systemd/resolve"), ("BindReadOnlyPaths", "/run/dbus")} <= set(asked)


def test_a_path_that_is_asked_for_writable_is_not_shown_read_only_too() -> None:
    written = lines([WORDS["home"], Word(Kind.HOST_PATH_WRITE, "/run/user")])
    assert ("BindPaths", "/run/user") in written
    assert ("BindReadOnlyPaths", "-/run/user") not in written
