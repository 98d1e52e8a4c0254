"""`skerry lab`: the lab's commands. It only reads arguments and prints; what they do is Lab's.

Commands that run something in a machine become that something: their exit code is its exit code.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
import msgspec

from . import Lab, LabError, enter, leftovers, mesh
from .addresses import LEAST_MTU, NORMAL_MTU, Nat
from .layout import Direction
from .showing import Choice, become, command

_REST = {"allow_interspersed_args": False}


class _Group(click.Group):
    """Turns LabError, and what only root may do, into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LabError as error:
            raise click.ClickException(str(error)) from None
        except PermissionError:
            if os.geteuid() == 0:
                raise
            raise click.ClickException(
                "cannot reach the labs of this machine: that takes root's rights"
            ) from None


@click.group("lab", cls=_Group, no_args_is_help=True)
@click.option("--name", default="lab", show_default=True, help="Which lab: several can be up side by side.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.pass_context
def lab(ctx: click.Context, name: str, as_json: bool) -> None:
    """Rehearse on this machine: real nodes, a hub, and a small internet that can be cut.

    Each node is a systemd of its own on a copy-on-write view of this machine's disk. Nothing of this machine's own
    network, units or files is changed, and nothing is left when the lab ends.
    """
    with _plain_errors():
        ctx.obj = Choice(Lab(name), as_json)


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except LabError as error:
        raise click.ClickException(str(error)) from None


@lab.command()
@click.option(
    "--nodes", default=3, show_default=True, metavar="N", help="How many; they are called n1, n2, …"
)
@click.option("--bare", is_flag=True, help="Only the machines: no hub is made, nobody joins.")
@click.option("--on-disk", is_flag=True, help="Keep the nodes' disks in /var/lib instead of in memory.")
@click.pass_obj
def up(choice: Choice, nodes: int, bare: bool, on_disk: bool) -> None:
    """Make a mesh: boot the nodes, make and start a hub, let the nodes join."""
    from . import mesh  # noqa: PLC0415 - the other commands do not need it

    with choice.timed("the machines have booted"):
        choice.lab.up(nodes, hub=False, disks="disk" if on_disk else "memory")
    if not bare:
        try:
            with choice.timed("the hub runs, and the nodes have joined"):
                mesh.make(choice.lab)
        except BaseException:
            choice.lab.down()
            raise
    choice.show(choice.lab.status())


@lab.command()
@click.pass_obj
def down(choice: Choice) -> None:
    """End the lab and remove every trace of it, also of one that was killed."""
    with choice.timed("the lab is down"):
        there = choice.lab.down()
        swept = leftovers.sweep()
    if not there and not choice.as_json:
        click.echo(f"there was no lab '{choice.lab.paths.name}'")
    if swept and not choice.as_json:
        click.echo(f"also removed what was left of: {', '.join(swept)}")


@lab.command()
@click.pass_obj
def status(choice: Choice) -> None:
    """Show every machine and its link."""
    leftovers.sweep()
    choice.show(choice.lab.status())


_nodes = click.argument("nodes", nargs=-1, required=True, metavar="NODE...")
_hosts = click.argument("hosts", nargs=-1, required=True, metavar="NODE|hub...")


@lab.command()
@_hosts
@click.option("--direction", type=click.Choice(["both", "up", "down"]), default="both", show_default=True,
              help="Drop what the machine sends (up), what it would get (down), or both.")  # fmt: skip
@click.pass_obj
def cut(choice: Choice, hosts: Sequence[str], direction: str) -> None:
    """Drop a machine's packets, silently, until it is healed."""
    with choice.timed(f"cut: {', '.join(hosts)}"):
        choice.lab.cut(*hosts, direction=msgspec.convert(direction, Direction))


@lab.command()
@_hosts
@click.pass_obj
def heal(choice: Choice, hosts: Sequence[str]) -> None:
    """End a cut."""
    with choice.timed(f"healed: {', '.join(hosts)}"):
        choice.lab.heal(*hosts)


@lab.command()
@click.argument("node")
@click.argument("kind", type=click.Choice(["open", "cone", "symmetric"]))
@click.option("--udp-timeout", type=click.IntRange(1, 86400), metavar="SECONDS",
              help="How long a UDP mapping lives that is not used; without, as the kernel has it.")  # fmt: skip
@click.pass_obj
def nat(choice: Choice, node: str, kind: str, udp_timeout: int | None) -> None:
    """Put another router before a node, and those that share it: no NAT, an easy one, a hard one.

    open: the node's own address is routed. cone: each of its UDP ports has one outside port, which anybody may send to
    while it is used. symmetric: another port for each destination, and only answers come in.
    """
    with choice.timed(f"{node} is behind: {kind}"):
        choice.lab.nat(node, kind=msgspec.convert(kind, Nat), udp_timeout=udp_timeout)


@lab.command()
@click.argument("node")
@click.argument("mtu", type=click.IntRange(LEAST_MTU, NORMAL_MTU), metavar="N")
@click.option("--silent", is_flag=True, help="Who sends what is too big is not told: a black hole.")
@click.pass_obj
def mtu(choice: Choice, node: str, mtu: int, silent: bool) -> None:
    """Narrow the path between a node's router and the internet; 1500 widens it again."""
    with choice.timed(f"{node}: mtu {mtu}{', silent' if silent else ''}"):
        choice.lab.mtu(node, mtu=mtu, silent=silent)


@lab.command()
@_nodes
@click.pass_obj
def move(choice: Choice, nodes: Sequence[str]) -> None:
    """Give a node's router another outside address, as a phone network does; the old one is dead at once."""
    with choice.timed(f"moved: {', '.join(nodes)}"):
        choice.lab.move(*nodes)


@lab.command()
@_nodes
@click.option("--clean", is_flag=True, help="Shut down instead of cutting the power.")
@click.pass_obj
def poweroff(choice: Choice, nodes: Sequence[str], clean: bool) -> None:
    """Cut a node's power: everything in it dies at once, its disk stays."""
    with choice.timed(f"off: {', '.join(nodes)}"):
        choice.lab.poweroff(*nodes, clean=clean)


@lab.command()
@_nodes
@click.pass_obj
def boot(choice: Choice, nodes: Sequence[str]) -> None:
    """Switch a node on, with the disk that it had."""
    with choice.timed(f"booted: {', '.join(nodes)}"):
        choice.lab.boot(*nodes)


@lab.command()
@_nodes
@click.pass_obj
def reboot(choice: Choice, nodes: Sequence[str]) -> None:
    """Let a node's systemd reboot it."""
    with choice.timed(f"rebooted: {', '.join(nodes)}"):
        choice.lab.reboot(*nodes)


@lab.command()
@click.argument("name")
@click.option("--copy-of", metavar="NODE", help="Clone this node's disk, identity and all; it must be off.")
@click.pass_obj
def add(choice: Choice, name: str, copy_of: str | None) -> None:
    """Add one more node, switched off."""
    with choice.timed(f"added: {name}"):
        choice.lab.add(name, copy_of=copy_of)


@lab.command()
@_hosts
@click.pass_obj
def pause(choice: Choice, hosts: Sequence[str]) -> None:
    """Freeze a machine from outside, as a hypervisor does."""
    with choice.timed(f"paused: {', '.join(hosts)}"):
        choice.lab.pause(*hosts)


@lab.command()
@_hosts
@click.pass_obj
def resume(choice: Choice, hosts: Sequence[str]) -> None:
    """Let a paused machine go on."""
    with choice.timed(f"resumed: {', '.join(hosts)}"):
        choice.lab.resume(*hosts)


@lab.command("kill-agent")
@click.argument("node")
@click.option("--signal", default="KILL", show_default=True, help="STOP makes it hang.")
@click.pass_obj
def kill_agent(choice: Choice, node: str, signal: str) -> None:
    """Send a signal to the main process of a node's agent."""
    with choice.timed(f"sent {signal} to the agent of {node}"):
        choice.lab.kill_agent(node, signal)


@lab.command(context_settings=_REST)
@click.argument("node")
@click.argument("argv", nargs=-1, required=True, metavar="-- CMD...")
@click.pass_obj
def run(choice: Choice, node: str, argv: Sequence[str]) -> None:
    """Run a command in a node, as root."""
    become(choice.lab.argv(node, command(argv)))


@lab.command()
@click.argument("node")
@click.pass_obj
def shell(choice: Choice, node: str) -> None:
    """Open a shell in a node, as root."""
    become(choice.lab.argv(node, ["bash", "-l"], enter.terminal()))


@lab.group(no_args_is_help=True)
def hub() -> None:
    """Start, stop, kill, wipe or rebuild the lab's hub."""


@hub.command("start", context_settings=_REST)
@click.argument("options", nargs=-1, metavar="[-- OPTIONS...]")
@click.pass_obj
def hub_start(choice: Choice, options: Sequence[str]) -> None:
    """Start it and wait until its port answers. OPTIONS of 'skerry-hub run' are for this run alone."""
    with choice.timed("the hub is up"):
        choice.lab.hub_start([*options])


@hub.command("stop")
@click.pass_obj
def hub_stop(choice: Choice) -> None:
    """Stop it: SIGTERM, and SIGKILL after 10 s."""
    with choice.timed("the hub is stopped"):
        choice.lab.hub_stop()


@hub.command("kill")
@click.option("--everything", is_flag=True, help="Also what it started, as a power cut would.")
@click.pass_obj
def hub_kill(choice: Choice, everything: bool) -> None:
    """Kill it with SIGKILL."""
    with choice.timed("the hub is killed"):
        choice.lab.hub_kill(everything=everything)


@hub.command("wipe")
@click.pass_obj
def hub_wipe(choice: Choice) -> None:
    """Stop it and delete its data, as a lost disk would."""
    with choice.timed("the hub's data is gone"):
        choice.lab.hub_wipe()


@hub.command("rebuild")
@click.pass_obj
def hub_rebuild(choice: Choice) -> None:
    """After a wipe: make a new hub of the root's key alone, and start it. The nodes come back by themselves."""
    with choice.timed("another hub is up in its place"):
        mesh.rebuild(choice.lab)
        choice.lab.hub_start()


@hub.command("exec", context_settings=_REST)
@click.argument("argv", nargs=-1, required=True, metavar="-- CMD...")
@click.pass_obj
def hub_exec(choice: Choice, argv: Sequence[str]) -> None:
    """Run a command of this machine in the hub's network."""
    become(choice.lab.hub_argv(command(argv)))


@lab.command()
@click.option("--keep/--no-keep", default=True, show_default=True, help="Keep the mesh up until Ctrl-C.")
@click.pass_obj
def demo(choice: Choice, keep: bool) -> None:
    """Rehearse what happens to scattered machines, and check every promise."""
    from .demo.run import run as rehearse  # noqa: PLC0415 - the other commands do not need it

    if not rehearse(choice.lab, keep):
        raise click.exceptions.Exit(1)
