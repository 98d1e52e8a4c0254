"""Apps, instances and assignments for the agent's tests."""

import dataclasses
from typing import Any

from hypothesis import strategies as st
from msgspec import structs

from skerry_netplan.address import (
    hub_address,
    instance_address,
    mesh_network,
    node_network,
    region_network,
)
from skerry_protocol import signing
from skerry_protocol.app import App, Artifact, Availability, Ha, Overlap, Resources, Restart, Volume
from skerry_protocol.codec import encode
from skerry_protocol.ids import AppName, Claim, InstanceId, MeshName, NodeId, Region
from skerry_protocol.lease import lease_for
from skerry_protocol.messages import AppRevision, Assignment, Instance, Issued, Version
from skerry_protocol.network import HubAt, Network

MESH, REGION, NODE = MeshName("coast"), Region("north"), NodeId("naaaaaaaaaaaaaaaa")
ROOT = bytes(range(32))
HUB = bytes(range(1, 33))
SHA_A, SHA_B = "a" * 64, "b" * 64


def an_app(name: str = "web", **changes: Any) -> App:
    fields: dict[str, Any] = {"run": ("sleep", "9"), "availability": Availability.BEST_EFFORT}
    return App(name=AppName(name), **{**fields, **changes})


def fenced(name: str = "web", lost_after_ms: int = 60_000, **changes: Any) -> App:
    ha = Ha(lost_after_ms, Overlap.FORBID)
    return an_app(name, availability=Availability.HA, ha=ha, **changes)


def an_instance(app: App, number: int = 0, revision: int = 1, tail: str = "a") -> Instance:
    lease = lease_for(app.ha.lost_after_ms, app.stop_timeout_ms) if app.ha and app.fenced else None
    claim = Claim(1) if app.fenced else None
    identity = InstanceId(f"{app.name}-{number}-{tail * 10}")
    return Instance(identity, app.name, number, revision, claim, lease)


VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"env": {"A": "1"}},
    {"resources": Resources(memory_bytes=1 << 20)},
    {"resources": Resources(memory_bytes=2 << 20, cpu_milli=500)},
    {"schedule": "daily"},
    {"schedule": "hourly", "env": {"A": "2"}},
    {"ha": Ha(60_000, Overlap.FORBID), "availability": Availability.HA},
    {"ha": Ha(60_000, Overlap.FORBID), "availability": Availability.HA, "env": {"A": "3"}},
    {"ha": Ha(90_000, Overlap.FORBID), "availability": Availability.HA},
    {"ha": Ha(90_000, Overlap.FORBID), "availability": Availability.HA, "schedule": "daily"},
    {"artifacts": {"any": Artifact(SHA_A, 1)}, "run": ("./go",)},
    {"artifacts": {"any": Artifact(SHA_B, 1)}, "run": ("./go",)},
    {"sandbox_allow": ("host-network",)},
    {"files": {"motd": "hi"}, "volumes": {"data": Volume("/data")}},
    {"restart": Restart.NO, "stop_timeout_ms": 2_000},
    {"after": (AppName("db"),)},
)


@dataclasses.dataclass(frozen=True)
class Copy:
    """One copy in a generated assignment; the variant is the revision."""

    app: str
    number: int
    tail: str
    variant: int


def assignment_of(copies: list[Copy], generation: int) -> Assignment:
    """An assignment of these copies; two copies of one app may be at different revisions."""
    apps = {(one.app, one.variant): an_app(one.app, **VARIANTS[one.variant]) for one in copies}
    instances = tuple(
        an_instance(apps[one.app, one.variant], one.number, one.variant + 1, one.tail) for one in copies
    )
    revisions = tuple(AppRevision(variant + 1, app) for (_, variant), app in sorted(apps.items()))
    return Assignment(MESH, REGION, NODE, Version(1, 1, generation), instances, revisions)


copies = st.builds(
    Copy,
    st.sampled_from(["web", "db"]),
    st.integers(0, 1),
    st.sampled_from("ab"),
    st.integers(0, len(VARIANTS) - 1),
)
assignments = st.lists(copies, max_size=4, unique_by=lambda one: (one.app, one.number))


REGION_NETWORK = region_network(mesh_network(b"coast"), 0)


def a_network(*instances: Instance, number: int = 1, endpoint: str = "192.0.2.1:51820") -> Network:
    """The plan of the node with this number, with these instances."""
    own = node_network(REGION_NETWORK, number)
    hub = HubAt(b"h" * 32, str(hub_address(REGION_NETWORK)), (endpoint,))
    addresses = {one.id: str(instance_address(own, one.id)) for one in instances}
    return Network(str(mesh_network(b"coast")), str(REGION_NETWORK), str(own), (hub,), addresses=addresses)


def with_network(assignment: Assignment, **changes: Any) -> Assignment:
    return structs.replace(assignment, network=a_network(*assignment.instances, **changes))


def issued(assignment: Assignment) -> Issued:
    return Issued(assignment.version, signing.digest(encode(assignment)))


def envelope(assignment: Assignment, serial: int = 1, hub: bytes = HUB, root: bytes = ROOT) -> bytes:
    """The bytes that a hub would publish."""
    word = signing.delegate(root, MESH, REGION, serial, signing.public_key(hub), b"t" * 32)
    return encode(signing.Envelope(signing.sign(hub, signing.ASSIGNMENT, encode(assignment)), word))
