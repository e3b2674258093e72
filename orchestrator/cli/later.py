"""Commands that are imported when somebody uses them: `dibs` starts in a fifth of the time."""

from __future__ import annotations

from importlib import import_module

import click
import rich_click


class Later(click.Command):
    """
    Stands for a command in the list of its group until it is used.

    Args:
        place: Its module and the name that it has there, as in `orchestrator.cli.runs:runs`.
        summary: The first sentence of its help, word for word.
    """

    def __init__(self, name: str, place: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self._place = place

    def load(self) -> click.Command:
        """The command itself."""
        module, _, name = self._place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


class LazyGroup(rich_click.RichGroup):
    """A group some of whose commands are there only by name until one of them is used."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, left = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, Later) else command, left
