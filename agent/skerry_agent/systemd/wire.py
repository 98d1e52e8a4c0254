"""D-Bus arguments as pystemd's lowest layer takes them: (type, value) pairs, with containers opened and closed.

Owns the encoding of variants and property lists. pystemd's own tables know neither CPUWeight nor methods that take a
variant, so none of them are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Argument = tuple[int, object]
CLOSE: Argument = (-1, None)
UNLIMITED = (1 << 64) - 1

# The properties that may be set on a running unit. All are 64-bit.
LIVE = frozenset(
    {
        "CPUQuotaPerSecUSec",
        "CPUWeight",
        "IOWeight",
        "MemoryHigh",
        "MemoryLow",
        "MemoryMax",
        "MemorySwapMax",
        "StartupCPUWeight",
        "TasksMax",
    }
)

# D-Bus signatures of what a transient unit of ours may be given (systemd's dbus-execute.c, dbus-service.c).
SIGNATURES: Mapping[str, str] = {
    "Description": "s",
    "Type": "s",
    "Slice": "s",
    "CollectMode": "s",
    "DynamicUser": "b",
    "User": "s",
    "Group": "s",
    "WorkingDirectory": "s",
    "RootDirectory": "s",
    "NoNewPrivileges": "b",
    "PrivateTmp": "b",
    "PrivateDevices": "b",
    "PrivateNetwork": "b",
    "PrivateUsers": "b",
    "ProtectSystem": "s",
    "ProtectHome": "s",
    "ProtectClock": "b",
    "ProtectHostname": "b",
    "ProtectKernelLogs": "b",
    "ProtectKernelModules": "b",
    "ProtectKernelTunables": "b",
    "ProtectControlGroups": "b",
    "ProtectProc": "s",
    "ProcSubset": "s",
    "RestrictSUIDSGID": "b",
    "RestrictRealtime": "b",
    "RestrictNamespaces": "t",
    "LockPersonality": "b",
    "MemoryDenyWriteExecute": "b",
    "RemoveIPC": "b",
    "CapabilityBoundingSet": "t",
    "AmbientCapabilities": "t",
    "SystemCallArchitectures": "as",
    "SystemCallFilter": "(bas)",
    "RestrictAddressFamilies": "(bas)",
    "Environment": "as",
    "EnvironmentFiles": "a(sb)",
    "BindPaths": "a(ssbt)",
    "BindReadOnlyPaths": "a(ssbt)",
    "ReadWritePaths": "as",
    "JoinsNamespaceOf": "as",
    "After": "as",
    "StandardOutput": "s",
    "StandardError": "s",
    "SyslogIdentifier": "s",
    "KillMode": "s",
    "TimeoutStartUSec": "t",
    "TimeoutStopUSec": "t",
    "RuntimeMaxUSec": "t",
    "UMask": "u",
    "ExecStart": "a(sasb)",
}


def text(value: str) -> Argument:
    """A string."""
    return (ord("s"), value.encode())


def flag(value: bool) -> Argument:
    """A boolean."""
    return (ord("b"), value)


def texts(values: Sequence[str]) -> list[Argument]:
    """An array of strings."""
    return [(ord("a"), b"s"), *(text(value) for value in values), CLOSE]


def value_of(signature: str, value: object) -> list[Argument]:
    """`value` under a D-Bus signature of one complete type. Raises TypeError where they do not fit."""
    if signature == "s":
        if not isinstance(value, str):
            raise TypeError(f"{value!r} is not a string")
        return [text(value)]
    if signature in {"b", "t", "u", "i"}:
        if not isinstance(value, int):
            raise TypeError(f"{value!r} is not a number")
        return [(ord(signature), value)]
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{value!r} is not a list")
    if signature.startswith("a"):
        inner = signature[1:]
        return [
            (ord("a"), inner.encode()),
            *(piece for item in value for piece in value_of(inner, item)),
            CLOSE,
        ]
    fields = list(members(signature[1:-1]))
    if len(fields) != len(value):
        raise TypeError(f"{value!r} has {len(value)} fields, not {len(fields)}")
    pieces = [piece for field, item in zip(fields, value, strict=True) for piece in value_of(field, item)]
    return [(ord("r"), signature[1:-1].encode()), *pieces, CLOSE]


def members(signature: str) -> Sequence[str]:
    """The complete types that a signature is made of: "bas" is "b" and "as"."""
    found: list[str] = []
    start = depth = 0
    for position, letter in enumerate(signature):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0 and letter != "a":
            found.append(signature[start : position + 1])
            start = position + 1
    return found


def properties(values: Mapping[str, tuple[str, object]]) -> list[Argument]:
    """An `a(sv)` of name → (signature, value)."""
    pieces: list[Argument] = [(ord("a"), b"(sv)")]
    for name, (signature, value) in values.items():
        pieces += [(ord("r"), b"sv"), text(name), (ord("v"), signature.encode())]
        pieces += [*value_of(signature, value), CLOSE, CLOSE]
    return [*pieces, CLOSE]
