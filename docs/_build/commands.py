"""Every command of `dibs`: how it is called, what it does, its options and exit codes."""

from __future__ import annotations

import click

from docs._build.command_tree import Path, commands, context_of, paragraphs
from docs._build.markdown import MADE, table
from orchestrator.cli.failure import EXIT_CODES


def page() -> str:
    """The page."""
    sections = [_section(path, command) for path, command in commands().items() if path]
    codes = table(["code", "means"], [(str(code), said) for code, said in EXIT_CODES.items()])
    return f"""# Commands

{MADE}

How they are used together: [the command line](../command-line.md).

## Exit codes

{codes}

`dibs runs wait` has its own, below.

{"".join(sections).rstrip()}
"""


def _section(path: Path, command: click.Command) -> str:
    context = context_of(path)
    usage = " ".join(["dibs", *path, *command.collect_usage_pieces(context)])
    level = "##" if len(path) == 1 else "###"
    told = "\n\n".join(_paragraph(text) for text in paragraphs(command))
    options = _options(command, context)
    shown = f"{table(['option', ''], options)}\n\n" if options else ""
    return f"{level} dibs {' '.join(path)}\n\n`{usage}`\n\n{told}\n\n{shown}"


def _paragraph(text: str) -> str:
    if text.startswith("\b\n"):
        return f"```sh\n{text.removeprefix(chr(8)).strip()}\n```"
    return text


def _options(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    records = [
        parameter.get_help_record(context)
        for parameter in command.params
        if isinstance(parameter, click.Option)
    ]
    return [(f"`{record[0]}`", record[1]) for record in records if record is not None]
