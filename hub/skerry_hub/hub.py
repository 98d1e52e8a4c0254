"""One running hub: its identity, its store, its bus and its loops, in one place for the API.

Order of calls: `Hub.open`, `start`, then what the API and the bus ask for, then `stop`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import select

from skerry_netplan.address import node_address, node_network
from skerry_netplan.planner import Planner
from skerry_protocol.ids import NodeId, machine_mark
from skerry_protocol.network import Network, Port

from .artifacts.artifacts import ArtifactStore
from .beats.hearing import Hearing
from .beats.leader import keep_lead, take_lead
from .identity import Identity
from .intake import Intake
from .journal import Happened, note
from .loops.loops import Outcome, State
from .loops.reconcile import Reconciler
from .maintenance import Maintenance
from .model import AssignmentRow, Mesh, NodeRow
from .nats.bus import BusError, Handlers
from .nats.config import Listen
from .nats.edge import NONE, Nats, accounts_of, rotated
from .nats.newest import NewestOf
from .network.keys import network_key, public_of
from .network.region import Door, addresses, has_part, inside, plan, region
from .operators import forget_node
from .restoring.paused import may_replace
from .store import Owner, Store, StoreError, rows
from .store import schema as s
from .trying import keep_trying

if TYPE_CHECKING:
    from .network.tunnel import Tunnel

LOG = logging.getLogger(__name__)
NATS_PORT = 4222
REVOCATIONS_MAX = 5_000
MACHINE_ID = Path("/etc/machine-id")


def own_mark(file: Path = MACHINE_ID) -> str:
    """The mark of the machine that this hub runs on; empty where it has none."""
    try:
        return machine_mark(file.read_text())
    except (OSError, UnicodeDecodeError):
        return ""


@dataclass(frozen=True)
class Settings:
    """How this run of the hub was asked for. `nats` None: a server of its own. `advertise`: hosts that nodes try.

    `tunnel_port` (UDP): nodes come in by tunnels alone, and NATS listens inside; None: there are none, for tests.
    """

    host: str
    port: int
    nats: str | None = None
    advertise: tuple[str, ...] = ()
    nats_port: int = NATS_PORT
    nats_program: Path | None = None
    tunnel_port: int | None = None


def _door(identity: Identity, settings: Settings) -> Door | None:
    if settings.tunnel_port is None:
        return None
    public = public_of(network_key(identity.data))
    return Door(public, settings.tunnel_port, settings.advertise, identity.root_public)


class Hub:
    """What the parts of a hub share."""

    def __init__(
        self, identity: Identity, settings: Settings, store: Store, mesh: Mesh, term: int, intake: Intake
    ) -> None:
        self.identity = identity
        self.settings = settings
        self.store = store
        self.mesh = mesh
        self.term = term
        self.port = settings.port
        self.certificate = identity.certificate.read_text()
        self.intake = intake
        self.inside = inside(mesh, identity.root_public)
        self.door = _door(identity, settings)
        self.tunnel: Tunnel | None = None
        self.nats = Nats(
            identity,
            accounts_of(identity.data),
            settings.nats,
            Listen(
                settings.host if self.door is None else self.inside, settings.nats_port, self.door is not None
            ),
            settings.nats_program,
        )
        self.hearing = Hearing(store, identity, intake, term, own_mark())
        self.reconciler = Reconciler(
            store, identity, self.hearing.add_to, self._publish, self._reconciled, self.door
        )
        self.bus = self.nats.make_bus(self._handlers())
        self.hearing.connect(self.reconciler.kick, self.bus, self.forget)
        self.artifacts = ArtifactStore(identity.data / "artifacts")
        self.maintenance = Maintenance(store, self.artifacts, self.rotate)
        self.closing = False
        self._events = asyncio.Event()
        self._copies = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        store.on_commit(self._committed)

    @classmethod
    async def open(cls, identity: Identity, settings: Settings) -> Hub:
        """Opens the store and takes the lead. Raises StoreError."""
        store = await Store.open(identity.database)
        try:
            async with store.read() as view:
                mesh = await rows.mesh(view)
            if mesh is None:
                raise StoreError(f"cannot open {store.path}: it is empty (make one with 'skerry-hub init')")
            term = await take_lead(store, secrets.token_hex(4))
            identity = replace(identity, rebuilt=mesh.rebuilt)
            return cls(identity, settings, store, mesh, term, await Intake.open(store))
        except BaseException:
            await store.close()
            raise

    async def start(self, port: int) -> None:
        """Starts the loops. `port` is where the API will listen."""
        self.port = port
        await asyncio.to_thread(self._sweep)
        await self.hearing.begin()
        await self.reconciler.once()
        works = [self.reconciler.run(), self.hearing.run(), keep_trying(self.store)]
        if self.door is not None:  # NATS listens on an address of the tunnel's
            self.tunnel = await self._make_tunnel(self.door)
            await self.tunnel.start()
            works += [self.tunnel.run(), self.hearing.hinting.run(self.tunnel.endpoints)]
        await self.nats.start(await self._revoked())
        for work in (*works, keep_lead(self.store)):
            self._tasks.append(asyncio.create_task(work))
        self.maintenance.start()

    async def stop(self) -> None:
        """Ends what `start` began and closes the store."""
        self.maintenance.stop()
        await self.nats.stop()
        for task in reversed(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.store.close()

    def _sweep(self) -> None:
        """Removes what a hub that was killed left half done."""
        self.artifacts.sweep()
        for folder in self.identity.data.glob(".backup-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def events_written(self) -> asyncio.Event:
        """Set when the next event is committed. Take it before looking for events, so that none is missed."""
        return self._events

    def end_streams(self) -> None:
        """The hub is about to stop: what goes on without end is to end now."""
        self.closing = True
        self._events.set()
        self._copies.set()

    def copies_written(self) -> asyncio.Event:
        """Set when what is placed, or what a node says it applied, is next committed. Take it before looking."""
        return self._copies

    def address_on(self, host: str) -> str:
        """`host:port` of this hub's API; a port that `host` has stays."""
        bare = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
        return (
            bare if bare.rpartition(":")[2].isdecimal() and not bare.endswith("]") else f"{bare}:{self.port}"
        )

    def addresses(self) -> tuple[str, ...]:
        """Where machines reach this hub, as a join token names it."""
        hosts = self.settings.advertise or (
            ("localhost",) if self.settings.host in {"::", "0.0.0.0"} else (self.settings.host,)
        )
        return tuple(self.address_on(host) for host in hosts)

    async def forget(self, node: NodeId, reason: str, changer: str = "hub") -> None:
        """Forgets a node and throws its machine out of NATS, now or on the next connection."""
        async with self.store.write() as tx:
            row = await rows.node(tx, node)
            if row is None:
                return
            await forget_node(tx, row, changer, reason)
        await self.throw_out(row)

    async def rotate(self, limit: int = REVOCATIONS_MAX) -> bool:
        """With `limit` revocations or more: another signing key, which ends them. Nodes renew by themselves.

        The key is on disk before the revocations go: a crash in between leaves more of them than are needed.
        """
        if self.settings.nats == NONE or len(await self._revoked()) < limit:
            return False
        async with self.store.write() as tx:
            ended = await tx.rows(select(s.forgotten.c.id, s.forgotten.c.at_ms, s.forgotten.c.doc))
            self.nats.accounts = await asyncio.to_thread(rotated, self.identity.data, self.nats.accounts)
            hand = tx.as_owner(Owner.OPERATORS)
            for node, at_ms, doc in ended:
                row = msgspec.structs.replace(rows.load(NodeRow, doc), shut_out=True)
                assert isinstance(at_ms, int)
                await hand.put(s.forgotten, {"id": str(node), "at_ms": at_ms, "doc": rows.dump(row)})
            text = "the signing key of NATS was changed, because of many revocations: nodes renew their credentials"
            await note(hand, Happened("nats-key-changed", text, changer="hub"))
        try:
            await self.bus.change_accounts(self.nats.accounts)
        except BusError as error:
            LOG.warning("%s (it is told on the next connection)", error)
        return True

    async def throw_out(self, row: NodeRow) -> None:
        """Ends a forgotten machine's connection to NATS; the next hub with a NATS tells it all revocations."""
        if self.settings.nats == NONE:
            return
        try:
            await self.bus.revoke(row.machine_key)
        except BusError as error:
            LOG.warning("%s (it is told on the next connection)", error)

    async def _make_tunnel(self, door: Door) -> Tunnel:
        # Netlink's library is a third of what a hub without tunnels loads.
        from skerry_netplan.kernel.backends import choose  # noqa: PLC0415
        from skerry_netplan.kernel.runners import fitting  # noqa: PLC0415

        from .network.tunnel import Tunnel  # noqa: PLC0415

        backend = await choose(fitting())
        services = (Port(self.settings.nats_port),)
        hinting, data = self.hearing.hinting, self.identity.data
        tunnel = Tunnel(
            door, network_key(data), services, self._members, backend, data, lambda: hinting.narrow
        )
        hinting.narrowed = tunnel.look
        return tunnel

    async def _members(self) -> tuple[Mesh, Sequence[NodeRow]]:
        async with self.store.read() as view:
            return await rows.mesh(view) or self.mesh, await rows.nodes(view)

    def address_of(self, row: NodeRow) -> str:
        """Where a node is in the mesh; empty for one without tunnels."""
        if self.door is None or not has_part(row):
            return ""
        return str(node_address(node_network(addresses(self.mesh, self.door.root).region, row.number)))

    async def first_plan(self, row: NodeRow) -> Network | None:
        """The way to this hub for a node that was let in, and nothing of what runs."""
        if self.door is None:
            return None
        return plan(Planner(region(self.mesh, self.door, [row])), self.door, row)

    def _handlers(self) -> Handlers:
        return Handlers(
            servers=self.nats.servers,
            on_beat=self.hearing.on_beat,
            on_report=self.intake.report,
            newest=NewestOf(self._newest),
            nodes=self._nodes,
            revoked=self._revoked,
            on_connected=self.hearing.gap,
            may_replace=self._may_replace,
        )

    def _publish(self, nodes: list[NodeId]) -> None:
        self.bus.publish(nodes)

    def _reconciled(self, state: State, outcome: Outcome) -> None:
        self.mesh = state.mesh
        self.hearing.learn(state, outcome)

    async def _newest(self, nodes: Collection[NodeId]) -> Mapping[NodeId, AssignmentRow]:
        async with self.store.read() as view:
            return await rows.newest_of(view, nodes)

    async def _nodes(self) -> Collection[NodeId]:
        async with self.store.read() as view:
            return [row.id for row in await rows.nodes(view)]

    async def _revoked(self) -> list[bytes]:
        async with self.store.read() as view:
            found = await view.rows(select(s.forgotten.c.doc))
        forgotten = [rows.load(NodeRow, row[0]) for row in found]
        return [row.machine_key for row in forgotten if not row.shut_out]

    async def _may_replace(self, node: NodeId, held: bytes) -> bool:
        return await may_replace(self.store, self.identity, node, held)

    def _committed(self, tables: frozenset[str]) -> None:
        if "nodes" in tables and self.tunnel is not None:
            self.tunnel.look()
        if "events" in tables:
            self._events.set()
            self._events = asyncio.Event()
        if tables & {"placements", "facts"}:
            self._copies.set()
            self._copies = asyncio.Event()
