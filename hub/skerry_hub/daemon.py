"""`skerry-hub`: makes a region's hub, runs it, puts a backup back. Everything else goes by the hub's API."""

from __future__ import annotations

import asyncio
import logging
import sys
from ipaddress import IPv6Network
from pathlib import Path

import click

from skerry_netplan.address import Routed
from skerry_protocol.ids import NAME_EXPECTED, MeshName, Region, is_name
from skerry_protocol.jointoken import DEFAULT_PORT as PORT

from .files import write_file
from .identity import Identity, IdentityError, create, read
from .model import Mesh
from .nats.config import NatsServerError
from .pace import settle
from .people import Role, add_person, new_secret
from .restoring import backup as backups
from .restoring import rebuild as rebuilding
from .store import Owner, Store, StoreError, rows

DATA = Path("/var/lib/skerry-hub")
TUNNEL_PORT = 51_820  # WireGuard's customary one

_data = click.option(
    "--data", type=click.Path(path_type=Path), default=DATA, show_default=True, help="The hub's folder."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A region's hub: decides what its nodes run. They keep running it without one."""


def _name(_context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not is_name(value):
        raise click.BadParameter(f"{value!r}: expected {NAME_EXPECTED}", param=parameter)
    return value


def _routed(_context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else str(Routed(IPv6Network(value)).prefix)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from error


_prefix = click.option(
    "--prefix",
    metavar="NETWORK",
    callback=_routed,
    help="An IPv6 network of yours, for the region's addresses; without it the mesh's own, by RFC 4193.",
)


@main.command()
@click.option("--mesh", required=True, callback=_name, help="The mesh's name.")
@click.option("--region", required=True, callback=_name, help="The region that this hub decides for.")
@click.option("--root-key", type=click.Path(path_type=Path), help="The root's key, kept elsewhere.")
@click.option("--address", default=f"localhost:{PORT}", show_default=True, help="Where people reach it.")
@click.option("--admin", default="admin", show_default=True, callback=_name, help="The first admin's name.")
@_prefix
@_data
def init(
    mesh: str, region: str, root_key: Path | None, address: str, admin: str, prefix: str | None, data: Path
) -> None:
    """Make a new hub: its keys, its store, and a first admin."""
    with _told():
        identity = create(data, MeshName(mesh), Region(region), root_key)
        token = asyncio.run(first_admin(identity, admin, fresh(identity, prefix)))
    _made(identity, address, admin, token)
    if root_key is None:
        click.echo(f"the mesh's root key is {data / 'root.key'}: keep a copy off this machine")


def _made(identity: Identity, address: str, admin: str, token: str) -> None:
    """Keeps the first admin's settings, and says what is there now and what comes next."""
    data = identity.data
    settings = data / "operator.toml"
    text = f'hub = "https://{address}"\npin = "{identity.pin}"\ntoken = "{token}"\n'
    write_file(settings, text.encode())
    click.echo(f"made the hub of mesh {identity.mesh}, region {identity.region}, in {data}")
    click.echo(f"start it:  skerry-hub run --data {data}")
    click.echo(
        f"use it:    SKERRY_CONFIG={settings} skerry nodes    (that file is a secret; {admin} is an admin)"
    )


def fresh(identity: Identity, prefix: str | None = None) -> Mesh:
    """The settings of a new region."""
    return Mesh(identity.mesh, identity.region, identity.serial, epoch=1, prefix=prefix)


async def first_admin(identity: Identity, admin: str, mesh: Mesh | None = None) -> str:
    """The region's settings and its first admin, whose token it returns; a second init makes no second admin."""
    store = await Store.open(identity.database)
    try:
        async with store.write() as tx:
            await rows.put_mesh(tx.as_owner(Owner.RESUME), mesh or fresh(identity))
            return await add_person(tx, admin, Role.ADMIN, "init", new_secret())
    finally:
        await store.close()


@main.command()
@click.option("--mesh", required=True, callback=_name, help="The mesh's name, as it was.")
@click.option(
    "--region", required=True, callback=_name, help="The region whose hub was lost, as it was named."
)
@click.option(
    "--root-key", type=click.Path(path_type=Path), required=True, help="The mesh's root key, as init made it."
)
@click.option("--address", default=f"localhost:{PORT}", show_default=True, help="Where people reach it.")
@click.option("--admin", default="admin", show_default=True, callback=_name, help="The first admin's name.")
@click.option("--serial", type=click.IntRange(min=2), help="Above every serial that the region had.")
@_prefix
@_data
def rebuild(
    mesh: str,
    region: str,
    root_key: Path,
    address: str,
    admin: str,
    serial: int | None,
    prefix: str | None,
    data: Path,
) -> None:
    """Make a hub in the place of one that was lost whole, with no backup, from its nodes and the root key.

    Be sure that the lost one is gone for good. The new one has to be reached where that one was. Nodes come back by
    themselves, nothing on them is touched, and 'skerry hub resume' shows what they hold and what nobody knows any more.
    """
    with _told():
        identity = rebuilding.keys(data, MeshName(mesh), Region(region), root_key, serial)
        token = asyncio.run(first_admin(identity, admin, rebuilding.settings(identity, prefix)))
    _made(identity, address, admin, token)
    click.echo("nodes come back by themselves; then look at 'skerry hub resume'")


@main.command()
@_data
@click.option("--listen", default=f"[::]:{PORT}", show_default=True, help="HOST:PORT of the API.")
@click.option("--nats", help="An existing NATS server's URL; without it the hub runs its own.")
@click.option("--nats-port", default=4222, show_default=True, help="Where the hub's own NATS server listens.")
@click.option("--nats-server", type=click.Path(path_type=Path), help="Another nats-server program.")
@click.option(
    "--tunnel-port", default=TUNNEL_PORT, show_default=True, help="UDP port where nodes' tunnels end."
)
@click.option("--no-tunnels", is_flag=True, help="Nodes come in without tunnels: for trying things out.")
@click.option("--advertise", default="", help="Hosts, by comma, where nodes reach this hub.")
@click.option("--debug", is_flag=True, help="Log more.")
def run(
    data: Path,
    listen: str,
    nats: str | None,
    nats_port: int,
    nats_server: Path | None,
    tunnel_port: int,
    no_tunnels: bool,
    advertise: str,
    debug: bool,
) -> None:
    """Run the hub until SIGTERM."""
    from .service import Settings, serve  # noqa: PLC0415 - half a second of a processor, which no other command needs

    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("aiosqlite", "alembic", "apscheduler", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It warns of every client that closes a TLS connection first, which is nobody's fault.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    settle()
    host, port = address(listen)
    hosts = tuple(name.strip() for name in advertise.split(",") if name.strip())
    url = None if nats == "embedded" else nats
    tunnel = None if no_tunnels else tunnel_port
    with _told():
        asyncio.run(serve(read(data), Settings(host, port, url, hosts, nats_port, nats_server, tunnel)))


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, the host perhaps in brackets. Raises a usage error for anything else."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise click.UsageError(f"cannot listen on {text!r}: expected HOST:PORT")
    return host, int(port)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_data
def restore(file: Path, data: Path) -> None:
    """Put a backup back, with the hub stopped. Nodes that are ahead of it pause until 'skerry hub resume'."""
    with _told():
        identity = read(data)
        expected = (str(identity.mesh), str(identity.region))
        former = asyncio.run(backups.restore(file, identity.database, expected))
    click.echo(f"put back {file}" + (f"; the former store is kept: {former}" if former else ""))
    click.echo("start the hub, look at 'skerry hub resume --show', then 'skerry hub resume --take nodes'")


class _told:  # noqa: N801 - a context manager
    """What can be expected to go wrong is told in one line, without a traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, StoreError | IdentityError | NatsServerError):
            raise click.ClickException(str(error)) from error
        if isinstance(error, OSError):
            raise click.ClickException(error.strerror or str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
