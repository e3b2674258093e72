"""`dibs completion`: the script that completes commands, options and states in a shell."""

from __future__ import annotations

import click
import rich_click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from orchestrator.cli.output import say

# What click looks for: its own name for the program's completion.
VARIABLE = "_DIBS_COMPLETE"
SHELLS: dict[str, type[ShellComplete]] = {
    "bash": BashComplete,
    "zsh": ZshComplete,
    "fish": FishComplete,
}


@click.command(cls=rich_click.RichCommand)
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """
    Print the script that completes `dibs` in a shell.

    To be read when the shell starts:

    \b
    echo 'eval "$(dibs completion bash)"' >> ~/.bashrc
    echo 'eval "$(dibs completion zsh)"' >> ~/.zshrc
    dibs completion fish > ~/.config/fish/completions/dibs.fish
    """
    root = context.find_root().command
    say(SHELLS[shell](root, {}, "dibs", VARIABLE).source().rstrip("\n"))
