"""`skerry completion SHELL`: click's own scripts; what they ask comes back to this program."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .errors import EXIT_USAGE, CliError

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_SKERRY_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what a shell needs to complete commands.

    \b
    bash: eval "$(skerry completion bash)"           in ~/.bashrc
    zsh:  eval "$(skerry completion zsh)"            in ~/.zshrc
    fish: skerry completion fish | source            in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise CliError(f"cannot complete in {shell}", f"one of {', '.join(SHELLS)}", EXIT_USAGE)
    script = kind(ctx.find_root().command, {}, "skerry", VARIABLE)
    click.echo(script.source_template % script.source_vars())
