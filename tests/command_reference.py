"""The part of docs/command-line.md that is made from the commands themselves."""

import click

from orchestrator.cli.failure import EXIT_CODES
from tests.command_tree import Path, commands, context_of, paragraphs


def reference() -> str:
    """Exit codes and every command, as Markdown."""
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items())
    parts = [f"## Exit codes\n\n| code | means |\n| --- | --- |\n{codes}", "## Commands\n"]
    parts += [_section(path, command) for path, command in commands().items() if path]
    return "\n".join(parts)


def _section(path: Path, command: click.Command) -> str:
    context = context_of(path)
    usage = " ".join(["dibs", *path, *command.collect_usage_pieces(context)])
    level = "###" if len(path) == 1 else "####"
    told = "\n\n".join(_paragraph(text) for text in paragraphs(command))
    options = "".join(_options(command, context))
    table = f"\n| option | |\n| --- | --- |\n{options}" if options else ""
    return f"{level} `{usage}`\n\n{told}\n{table}"


def _paragraph(text: str) -> str:
    if text.startswith("\b\n"):
        return f"```sh\n{text.removeprefix(chr(8)).strip()}\n```"
    return text


def _options(command: click.Command, context: click.Context) -> list[str]:
    records = [
        parameter.get_help_record(context)
        for parameter in command.params
        if isinstance(parameter, click.Option)
    ]
    return [
        f"| `{_in_a_cell(names)}` | {_in_a_cell(said)} |\n"
        for names, said in (record for record in records if record is not None)
    ]


def _in_a_cell(text: str) -> str:
    return text.replace("|", r"\|")
