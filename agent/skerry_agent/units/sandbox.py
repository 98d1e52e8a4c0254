"""The sandbox of an instance as lines of its unit file: shut by default, opened word by word. Pure.

Owns what each word of skerry_protocol.sandbox means in systemd's settings (systemd.exec(5)). Whether a word is
permitted is `policy`'s business and settled before. Must never open more than the word says.
"""

from __future__ import annotations

from collections.abc import Iterable

from skerry_protocol.sandbox import Kind, Word

from .unitfile import Line

# Not here: ProcSubset=pid hides /proc/meminfo and /proc/cpuinfo, which every language runtime reads.
SHUT: tuple[Line, ...] = (
    ("DynamicUser", "yes"),
    ("PrivateUsers", "yes"),
    ("ProtectSystem", "strict"),
    ("ProtectHome", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateNetwork", "yes"),
    ("PrivateIPC", "yes"),
    ("NoNewPrivileges", "yes"),
    ("CapabilityBoundingSet", ""),
    ("AmbientCapabilities", ""),
    ("ProtectKernelTunables", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectProc", "invisible"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("RemoveIPC", "yes"),
    ("KeyringMode", "private"),
    ("UMask", "0077"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallFilter", "@system-service"),
    ("SystemCallErrorNumber", "EPERM"),
)

NAMESPACES = "/run/skerry/spaces/now"  # skerry-spaces.service leads there
# '-' because an instance without names of the mesh is better than none.
RESOLVER = "-/run/skerry/net/resolv.conf:/etc/resolv.conf"

# Folders of the machine that are no part of its system; '-' because not every machine has them all.
HIDDEN = (
    "/boot",
    "/efi",
    "/etc/skerry",
    "/media",
    "/mnt",
    "/srv",
    "/var/backups",
    "/var/lib/skerry",
    "/var/log",
)

# Of /run an instance sees only what its own logs and names need: the sockets there lead to other services and to the
# system bus, and a read-only mount keeps nobody from connecting. '-' because not every machine has them all.
OF_RUN = ("/run/systemd/journal", "/run/systemd/userdb")
OF_RUN_BY: dict[Kind, tuple[str, ...]] = {
    # How names are looked up; /etc/resolv.conf may lead there.
    Kind.HOST_NETWORK: ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/nscd"),
    Kind.HOME: ("/run/user",),
    Kind.DEVICES: ("/run/udev",),
    Kind.DEVICE: ("/run/udev",),
}

OPENED: dict[Kind, dict[str, str | None]] = {
    Kind.HOST_NETWORK: {"PrivateNetwork": None},
    Kind.HOME: {"ProtectHome": "read-only"},
    # ProtectClock brings a DeviceAllow= of its own, which would shut out every other device.
    Kind.DEVICES: {"PrivateDevices": None, "ProtectClock": None, "DevicePolicy": "auto"},
    Kind.DEVICE: {"PrivateDevices": None, "DevicePolicy": "closed"},
    Kind.CAPABILITY: {"PrivateUsers": None},
    Kind.USER: {"DynamicUser": None, "PrivateUsers": None},
    Kind.EXEC_MEMORY: {"MemoryDenyWriteExecute": None},
    Kind.NAMESPACES: {
        "RestrictNamespaces": None,
        "SystemCallFilter": "@system-service @mount clone clone3 setns unshare",
    },
    Kind.SYSTEM_CALLS: {"SystemCallFilter": None, "SystemCallErrorNumber": None},
}


def lines(words: Iterable[Word], namespace: str = "") -> tuple[Line, ...]:
    """The [Service] lines for an instance that may have exactly these words.

    `namespace`: the name of the network namespace that skerry-net makes for it; empty: it has none of the mesh.
    """
    asked = sorted(set(words))
    settings: dict[str, str | None] = dict(SHUT)
    if namespace:
        settings |= {"PrivateNetwork": None, "NetworkNamespacePath": f"{NAMESPACES}/{namespace}"}
    # `devices` is wider than `device`, and `system-calls` than `namespaces`: the wider ones come last.
    for kind in sorted({word.kind for word in asked}, key=lambda kind: (kind in _WIDER, kind)):
        settings |= OPENED.get(kind, {})
    values = {kind: [word.value for word in asked if word.kind is kind] for kind in Kind}
    if values[Kind.CAPABILITY]:
        settings["CapabilityBoundingSet"] = " ".join(values[Kind.CAPABILITY])
        settings["AmbientCapabilities"] = " ".join(values[Kind.CAPABILITY])
    if values[Kind.USER]:
        settings["User"] = values[Kind.USER][0]
    devices = [] if values[Kind.DEVICES] else [("DeviceAllow", f"{path} rw") for path in values[Kind.DEVICE]]
    kept = [(key, value) for key, value in settings.items() if value is not None]
    read, write = values[Kind.HOST_PATH], values[Kind.HOST_PATH_WRITE]
    resolver = [("BindReadOnlyPaths", RESOLVER)] if namespace else []
    of_run = _of_run({word.kind for word in asked}, read + write)
    return (*kept, *devices, *resolver, *of_run, *_host_paths(read, write))


_WIDER = frozenset({Kind.DEVICES, Kind.SYSTEM_CALLS})


def _of_run(kinds: set[Kind], shown: list[str]) -> list[Line]:
    """An empty /run, and what of it shows; what is asked for by path is shown by that."""
    paths = {*OF_RUN, *(path for kind in kinds for path in OF_RUN_BY.get(kind, ()))} - set(shown)
    return [
        ("TemporaryFileSystem", "/run:ro"),
        *(("BindReadOnlyPaths", f"-{path}") for path in sorted(paths)),
    ]


def _host_paths(read: list[str], write: list[str]) -> list[Line]:
    """What is hidden, and what of the machine shows. A hidden folder in which something shows is emptied instead."""
    found: list[Line] = []
    for folder in HIDDEN:
        if folder in read + write:
            continue
        inside = any(path.startswith(folder + "/") for path in read + write)
        found.append(
            ("TemporaryFileSystem", f"{folder}:ro") if inside else ("InaccessiblePaths", f"-{folder}")
        )
    found += [("BindReadOnlyPaths", path) for path in read if path not in write]
    return found + [("BindPaths", path) for path in write]


def private_network(words: Iterable[Word]) -> bool:
    """Whether the instance has a network namespace of its own: skerry-net's, or one with nothing but a loopback."""
    return all(word.kind is not Kind.HOST_NETWORK for word in words)
