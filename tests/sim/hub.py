"""The hub of a simulation: the real one, on real SQLite, with the fake NATS beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from pathlib import Path

from sqlalchemy import select

from skerry_agent.joining.identity import Identity as NodeIdentity
from skerry_hub.api.applying import waking
from skerry_hub.hub import Hub, Settings
from skerry_hub.identity import Identity
from skerry_hub.loops.loops import State
from skerry_hub.loops.planning import carry_out, check_removals
from skerry_hub.model import NodeRow
from skerry_hub.operators import set_app, set_node
from skerry_hub.restoring import backup
from skerry_hub.restoring.paused import paused_rows
from skerry_hub.restoring.resume import resume
from skerry_hub.store import rows, schema
from skerry_hub.store.store import Deposed
from skerry_protocol.app import App
from skerry_protocol.codec import encode
from skerry_protocol.ids import AppName, NodeId, NodeName, node_id
from skerry_protocol.signing import public_key

from .processes import Process, Processes

ADMIN = "admin"


class HubProcess:
    """skerry-hub: started, killed, put back to a backup. `hub` is None while it is down."""

    def __init__(self, identity: Identity, processes: Processes) -> None:
        self.identity = identity
        self.hub: Hub | None = None
        self.copies = 0
        self._processes = processes
        self._process: Process | None = None
        self._former: dict[Process, Hub] = {}  # hubs that hang, or hung, while another took the lead

    async def start(self) -> None:
        """Returns when it has decided once."""
        if self._process is not None:
            return
        process = self._process = self._processes.begin("hub", self)
        started = asyncio.get_running_loop().create_future()

        async def serve() -> None:
            hub = await Hub.open(self.identity, Settings("sim", 1, nats="sim"))
            self.hub = hub
            await hub.start(1)
            if not started.done():
                started.set_result(None)
            await hub.store.deposed.wait()
            asyncio.get_running_loop().call_soon(self._gives_up, process, context=Context())

        task = process.run(serve())
        await asyncio.wait({started, task}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()

    async def kill(self) -> None:
        """kill -9. What is not committed is gone."""
        for former, its in tuple(self._former.items()):
            del self._former[former]
            await self._end(former, its)
        if self._process is None:
            return
        process, hub = self._process, self.hub
        self._process = self.hub = None
        await self._end(process, hub)

    async def _end(self, process: Process, hub: Hub | None) -> None:
        process.kill()
        if hub is not None:
            hub.maintenance.stop()
            await asyncio.sleep(0)
            await hub.store.close()

    def _gives_up(self, process: Process) -> None:
        """It found that another leads, and ends."""
        hub = self._former.pop(process, None)
        if hub is not None:
            asyncio.get_running_loop().create_task(self._end(process, hub))

    def _wrote(self, process: Process, tables: frozenset[str]) -> None:
        """A hub that was replaced decided something all the same. Two that outbid each other would go on for ever."""
        self._processes.failures.append(f"a hub whose place was taken wrote {', '.join(sorted(tables))}")
        asyncio.get_running_loop().call_soon(self._gives_up, process, context=Context())

    async def usurp(self, seconds: float) -> None:
        """It hangs; somebody deletes its lock, so that another can be started; later it goes on as if nothing were."""
        process, hub = self._process, self.hub
        if process is None or hub is None or hub.store._turn.locked():
            return  # a hub that hangs while it writes keeps others from the store
        self.hang(seconds)
        self._former[process] = hub
        self._process = self.hub = None
        hub.store.on_commit(lambda tables: self._wrote(process, tables))
        database = self.identity.database
        database.with_name(database.name + ".lock").unlink(missing_ok=True)
        await self.start()

    # An operator's words

    async def _asked(self, effect: Callable[[Hub, bool], Awaitable[None]]) -> None:
        """A request of the API: the hub's own work, which hangs and ends with it. `effect` may be told to ask first."""
        process, hub = self._process, self.hub
        assert process is not None
        assert hub is not None

        async def answer() -> None:
            with suppress(Deposed):  # the one who asked is told so
                await waking(hub, lambda asking: effect(hub, asking))

        task = process.run(answer())
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    async def apply(self, *apps: App) -> None:
        """New revisions, by what an apply does, with all that follows from it."""

        async def effect(hub: Hub, asking: bool) -> None:
            async with hub.store.write() as tx:
                done = await carry_out(
                    hub, tx, apps, ADMIN, "", confirmed=True, leave_data=True, asking=asking
                )
                assert not done.proposal.refusals, done.proposal.refusals

        await self._asked(effect)

    async def remove(self, name: str) -> None:
        """An app goes."""

        async def effect(hub: Hub, _asking: bool) -> None:
            async with hub.store.write() as tx:
                await set_app(tx, AppName(name), None, ADMIN, "", confirmed=True)
                await check_removals(hub, tx, confirmed=True, who=ADMIN)

        await self._asked(effect)

    async def change_node(self, name: str, what: str, **fields: object) -> None:
        """An operator's word on a node, if it is still there."""
        assert self.hub is not None
        import msgspec  # noqa: PLC0415

        async with self.hub.store.write() as tx:
            row = await rows.node(tx, NodeName(name))
            if row is not None:
                await set_node(tx, msgspec.structs.replace(row, **fields), ADMIN, what)

    async def join(self, name: str, key: bytes) -> NodeIdentity:
        """A machine becomes a node."""
        assert self.hub is not None
        public = public_key(key)
        row = NodeRow(
            id=node_id(public), name=NodeName(name), machine_key=public, arch="x86_64",
            memory_bytes=8 << 30, cpu_milli=4000,
        )  # fmt: skip
        async with self.hub.store.write() as tx:
            await set_node(tx, row, "token sim", "joined")
        one = self.identity
        return NodeIdentity(
            row.id, row.name, one.mesh, one.region, one.pin, encode(one.delegation), ("sim:1",), ("sim",), ""
        )

    async def forget(self, name: str) -> None:
        """An operator forgets a node."""
        assert self.hub is not None
        async with self.hub.store.read() as view:
            row = await rows.node(view, NodeName(name))
        if row is not None:
            await self.hub.forget(row.id, "", ADMIN)

    def keep(self, node: NodeId, boot: str) -> bool:
        """An operator names one of two machines. Whether there are two, and this is one of them."""
        if self.hub is None or boot not in self.hub.hearing.machines(node):
            return False
        self.hub.hearing.name_machine(node, boot)
        return True

    async def happened(self, after: int) -> list[tuple[int, str, str]]:
        """Number, code and text of each event after that number."""
        assert self.hub is not None
        t = schema.events
        async with self.hub.store.read() as view:
            found = await view.rows(select(t.c.id, t.c.code, t.c.text).where(t.c.id > after).order_by(t.c.id))
        return [(int(str(row[0])), str(row[1]), str(row[2])) for row in found]

    def wake(self) -> None:
        """SIGCONT."""
        if self._process is not None:
            self._process.thaw()

    def hang(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT."""
        process = self._process
        if process is not None:
            process.freeze()
            loop = asyncio.get_running_loop()
            loop.call_later(seconds, lambda: None if process.dead else process.thaw(), context=Context())

    async def state(self) -> State:
        """What is stored."""
        assert self.hub is not None
        async with self.hub.store.read() as view:
            return await self.hub.reconciler.load(view)

    # Backups

    def back_up(self) -> None:
        """A backup while it runs."""
        self.copies += 1
        backup.make_backup(self.identity.database, self._copy(self.copies))

    async def put_back(self, number: int) -> None:
        """An older store in the place of this one; the hub is down meanwhile."""
        assert self.hub is None
        await backup.restore(self._copy(number), self.identity.database)

    async def resume(self, take: str) -> bool:
        """An operator looks and resumes what is shown. Whether the region is governed again."""
        assert self.hub is not None
        async with self.hub.store.write() as tx:
            names = {row.id: row.name for row in await rows.nodes(tx)}
            held = [one for one in await paused_rows(tx) if one.node in names and not one.overwrite]
            mesh = await rows.mesh(tx)
            assert mesh is not None
            if held or mesh.restored:
                await resume(tx, self.identity, tuple(names[one.node] for one in held), take, ADMIN, "")
            return not held

    def _copy(self, number: int) -> Path:
        return self.identity.data / f"copy-{number}.db"
