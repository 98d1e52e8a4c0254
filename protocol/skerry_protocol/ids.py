"""The names of things: one type per kind of id, so that they cannot be mixed up, and what each may look like.

Owns the patterns that every other module, the API and the wire rely on. A name that passes here is safe as a part of a
NATS subject, a unit name and a path.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import NewType

MeshName = NewType("MeshName", str)
Region = NewType("Region", str)
NodeId = NewType("NodeId", str)
NodeName = NewType("NodeName", str)
AppName = NewType("AppName", str)
InstanceId = NewType("InstanceId", str)
TokenId = NewType("TokenId", str)
Claim = NewType("Claim", int)

NAME_MAX = 40
NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")
NAME_EXPECTED = (
    f"a name of lower-case letters, digits and inner dashes, {NAME_MAX} characters at most, a letter first"
)
NODE_ID = re.compile(r"n[a-z2-7]{16}")
INSTANCE_ID = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?-[0-9]{1,6}-[a-z2-7]{10}")


def is_name(text: str) -> bool:
    """Whether `text` may name an app, a node, a region, a mesh or a volume."""
    return NAME.fullmatch(text) is not None


def node_id(machine_key: bytes) -> NodeId:
    """The id of the machine whose raw Ed25519 public key (32 bytes) this is: the key is the identity."""
    digest = hashlib.sha256(b"skerry node\0" + machine_key).digest()[:10]
    return NodeId("n" + base64.b32encode(digest).decode().lower())


def machine_mark(machine_id: str) -> str:
    """What tells machines apart without giving away /etc/machine-id, which is to stay secret (machine-id(5)).

    Empty for a machine that has none.
    """
    text = machine_id.strip()
    return hashlib.sha256(f"skerry machine\0{text}".encode()).hexdigest()[:32] if text else ""


def instance_id(app: AppName, number: int, entropy: bytes) -> InstanceId:
    """A fresh instance id from at least 7 random bytes, so that a restored hub never repeats one."""
    tail = base64.b32encode(entropy[:7]).decode().lower()[:10]
    return InstanceId(f"{app}-{number}-{tail}")


def instance_name(app: AppName, number: int) -> str:
    """What people call the copy: `<app>-<n>`. Unlike its id, it is used again."""
    return f"{app}-{number}"
