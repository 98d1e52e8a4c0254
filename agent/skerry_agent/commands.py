"""The commands of `skerry-agent` for a person at the machine. All but `join` work with no hub, and with no agent:
then they read the same files, and `rollback` does its switch itself, under the same lock.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from typing import TypeVar

import click
import msgspec

from skerry_protocol.findings import lines
from skerry_protocol.ids import AppName

from .disk.disk import STATE, DiskError, StateDir
from .health.steps import Book
from .hublink.https import HttpsError
from .hublink.renewing import Removed, renew
from .joining.identity import Identity, IdentityError, load, machine_key
from .joining.join import JoinError
from .joining.join import join as join_mesh
from .leases import grants
from .leases.beating import stored
from .network import keys
from .network.telling import told
from .reports.reporter import RECORD as TOLD
from .reports.reporter import Told
from .switch.node import Node
from .switch.places import Places
from .systemd import Outcome, Systemd
from .systemd.dbus import DbusSystemd
from .view.answering import Answering, clear, roll_back
from .view.journal import JournalError
from .view.local import CannotDo
from .view.localclient import AgentError, AgentSilent, ask
from .view.show import instances_table, status_text, why_text
from .view.status import StatusView, of_app, status, unit_names

T = TypeVar("T")
AGENT, NET = "skerry-agent.service", "skerry-net.service"
START_SECONDS = 60.0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("skerry"), prog_name="skerry-agent")
def cli() -> None:
    """This machine's part in a Skerry mesh. Its work goes on whether or not this agent, or any hub, runs."""


@cli.command()
@click.argument("token")
@click.option("--name", help="The node's name; the host's name otherwise.")
@click.option(
    "--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label that this machine asks for."
)
def join(token: str, name: str | None, labels: tuple[str, ...]) -> None:
    """Join the mesh that TOKEN ('skerry token create') is for, and start the agent."""
    _need_root("join")
    pairs = dict(label.partition("=")[::2] for label in labels)
    try:
        identity = join_mesh(token, STATE, name, pairs, say=click.echo)
    except JoinError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"joined {identity.mesh} in region {identity.region} as {identity.name} ({identity.node})")
    if name is not None and name != identity.name:
        click.echo(f"this machine was a member already: its name stays {identity.name}", err=True)
    # The way to the hub leads through the network, so that comes first.
    units = [NET, AGENT] if told(STATE) is not None else [AGENT]
    faults = asyncio.run(_with_systemd(lambda systemd: _restarted(systemd, units)))
    if faults:
        raise click.ClickException(f"joined, but {'; '.join(faults)}")


async def _restarted(systemd: Systemd, units: Sequence[str]) -> list[str]:
    """One after the other; what cannot be started keeps no other from it."""
    done = [(unit, await systemd.restart(unit, START_SECONDS)) for unit in units]
    return [f"cannot start {unit}: {one.reason or one.result}" for unit, one in done if not one.ok]


@cli.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_status(as_json: bool) -> None:
    """What this node runs, and whether it is in touch with its hub."""
    view = _view()
    click.echo(msgspec.json.encode(view).decode() if as_json else status_text(view))
    if not as_json and view.instances:
        click.echo(instances_table(view.instances))


@cli.command()
@click.argument("app")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def why(app: str, as_json: bool) -> None:
    """How APP stands on this node, and why."""
    view = _view()
    found = of_app(view, AppName(app))
    if not found:
        raise click.ClickException(
            f"cannot say why: {app} is not assigned to this node (see 'skerry-agent status')"
        )
    click.echo(msgspec.json.encode(found).decode() if as_json else why_text(view, found))


@cli.command()
@click.argument("app", required=False)
@click.option(
    "--clear", "clearing", is_flag=True, help="Take this node's word back: run what is assigned again."
)
@click.option("--reason", default="", help="Why; the hub's history keeps it.")
def rollback(app: str | None, clearing: bool, reason: str) -> None:
    """Put APP back to its previous revision on this node alone. The hub sees it, and does not undo it."""
    _need_root("roll back")
    if app is None and not clearing:
        raise click.UsageError("name the app that is to go back, or --clear to take back every such word")
    args = {"app": app or "", "reason": reason}
    try:
        told = [str(part) for part in ask("clear" if clearing else "rollback", args)]
    except AgentSilent as error:
        text = f"{error}; it may still do it once it goes on (see 'skerry-agent status')"
        raise click.ClickException(text) from error
    except AgentError as error:
        told = _without_agent(app or "", clearing, reason, error)
    for line in told:
        click.echo(line)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Look at this node and its way to the hub, and say what to do. Changes nothing; exit code 1 if not all is well."""
    _need_root("look at everything")
    from .doctor.run import findings  # noqa: PLC0415 - loads what no other command needs

    found = findings()
    click.echo(msgspec.json.encode(found).decode() if as_json else "\n".join(lines(found)))
    sys.exit(0 if all(one.ok for one in found) else 1)


@cli.command()
@click.argument("app")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines.")
@click.option("-n", "--lines", default=100, show_default=True, help="How many lines to begin with.")
def logs(app: str, follow: bool, lines: int) -> None:
    """The journal of APP's instances on this node."""
    identity = _identity()

    async def shown(systemd: Systemd) -> None:
        node = Node(Places(), identity, systemd)
        node.open(read_only=True)
        answering = Answering(node, lambda: _read_view(systemd, identity), lambda *_: None)
        async for line in answering.logs(AppName(app), lines, follow):
            click.echo(line)

    try:
        asyncio.run(_with_systemd(shown))
    except (CannotDo, JournalError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        sys.exit(130)


@cli.command()
@click.argument("units", nargs=-1, required=True, metavar="UNIT...")
def discard(units: tuple[str, ...]) -> None:
    """Stop and remove units that are left over ('status' lists them). Their volumes stay."""
    _need_root("discard a unit")
    identity = _identity()
    try:
        asyncio.run(_with_systemd(lambda systemd: _discard(systemd, identity, units)))
    except CannotDo as error:
        raise click.ClickException(str(error)) from error


@cli.command("rotate-keys")
def rotate_keys() -> None:
    """Give this machine's tunnels new keys. Connections go on; the machine's identity stays."""
    _need_root("change the keys")
    identity = _identity()
    try:
        fresh = keys.made()
        answer = renew(identity, machine_key(STATE), STATE, lambda: None, keys.publics(fresh))
        if isinstance(answer, Removed):
            raise click.ClickException(f"cannot change the keys: {answer.text}")
        keys.put(STATE, fresh)
    except (HttpsError, DiskError, IdentityError) as error:
        raise click.ClickException(f"cannot change the keys: {error} (the former ones stay)") from error
    faults = asyncio.run(_with_systemd(lambda systemd: _restarted(systemd, [NET])))
    if faults:
        raise click.ClickException(f"the hub knows the new keys, but {'; '.join(faults)}")
    click.echo(f"{identity.name} has new keys: {' and '.join(key.hex()[:16] for key in keys.publics(fresh))}")


@cli.command()
def run() -> None:
    """Run the agent (skerry-agent.service does)."""
    raise click.UsageError("'run' takes no options")


@cli.command()
def fence() -> None:
    """Kill what outlived its lease (skerry-fence.service does)."""
    raise click.UsageError("'fence' takes no options")


@cli.command()
def net() -> None:
    """Keep tunnels, namespaces and firewall as planned (skerry-net.service does)."""
    raise click.UsageError("'net' takes no options")


@cli.command()
def restore() -> None:
    """Put back unit files that are missing (skerry-restore.service does, at boot)."""
    raise click.UsageError("'restore' takes no options")


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise click.ClickException(f"cannot {what}: only root may (use sudo)")


def _identity() -> Identity:
    try:
        identity = load(STATE)
    except (IdentityError, DiskError) as error:
        raise click.ClickException(str(error)) from error
    if identity is None:
        raise click.ClickException("this machine has not joined a mesh ('skerry-agent join TOKEN')")
    return identity


def _view() -> StatusView:
    """From the agent, or from the files where none answers."""
    _need_root("read this node's state")
    identity = _identity()
    try:
        return msgspec.convert(next(ask("status"), None), StatusView)
    except (AgentError, ValueError) as error:
        click.echo(f"{error}; this is what is on disk:", err=True)
        hangs = isinstance(error, AgentSilent)
    return asyncio.run(_with_systemd(lambda systemd: _read_view(systemd, identity, hangs)))


async def _read_view(systemd: Systemd, identity: Identity, hangs: bool = False) -> StatusView:
    node = Node(Places(), identity, systemd)
    node.open(read_only=True)
    shown = await systemd.show(unit_names(node))
    units = {} if isinstance(shown, Outcome) else {unit.name: unit for unit in shown}
    told = node.disk.saved(TOLD, Told)
    book = told.book if isinstance(told, Told) else Book()
    held, boottime = stored(), systemd.boottime_us() // 1000
    leases = grants.ticked(held, boottime) if held is not None and held.boot == systemd.boot_id() else None
    hub = "the agent does not answer" if hangs else "the agent does not run"
    return status(node, units, book, leases, hub, "silent" if hangs else "stopped", boottime)


def _without_agent(app: str, clearing: bool, reason: str, why: AgentError) -> list[str]:
    """The same as the agent would do, by this process. An agent that runs has the lock, and its word is final."""
    identity = _identity()
    try:
        with StateDir(STATE).locked():
            click.echo(
                "the agent does not run: this command switches by itself, the hub hears of it later", err=True
            )
            return asyncio.run(
                _with_systemd(lambda systemd: _go_back(systemd, identity, app, clearing, reason))
            )
    except CannotDo as error:
        raise click.ClickException(str(error)) from error
    except DiskError as error:
        raise click.ClickException(str(why) if error.errno == errno.EWOULDBLOCK else str(error)) from error


async def _go_back(systemd: Systemd, identity: Identity, app: str, clearing: bool, reason: str) -> list[str]:
    node = Node(Places(), identity, systemd)
    node.open()
    told = clear(node, app) if clearing else roll_back(node, AppName(app), reason)
    switched = await node.switch()
    failures = (
        [switched.reason] if isinstance(switched, Outcome) else [one.reason for one in switched.failures]
    )
    if failures:
        done = "; ".join(told)
        raise CannotDo(
            f"{done}, but not switched yet: {'; '.join(failures)} (the agent tries again when it runs)"
        )
    return told


async def _discard(systemd: Systemd, identity: Identity, units: tuple[str, ...]) -> None:
    node = Node(Places(), identity, systemd)
    node.open(read_only=True)
    strange = sorted(set(units) - set(node.left_over()))
    if strange:
        raise CannotDo(f"cannot discard {', '.join(strange)}: not left over here (see 'skerry-agent status')")
    for unit in units:
        stopped = await systemd.stop(unit, START_SECONDS)
        if not stopped.ok:
            raise CannotDo(f"cannot stop {unit}: {stopped.reason or stopped.result} (try again)")
        try:
            node.discard(unit)
        except DiskError as error:
            raise CannotDo(f"cannot discard {unit}: {error}") from error
        click.echo(f"{unit} is stopped and removed")
    await systemd.reload(START_SECONDS)


async def _with_systemd(work: Callable[[Systemd], Awaitable[T]]) -> T:
    systemd = DbusSystemd()
    systemd.open()
    try:
        return await work(systemd)
    finally:
        systemd.close()
