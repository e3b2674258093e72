"""Every command of `dibs`, and the examples in its help."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator

import click

from orchestrator.cli import dibs
from orchestrator.cli.later import Later

Path = tuple[str, ...]


def commands() -> dict[Path, click.Command]:
    """All commands by their words, groups too, in the order in which help lists them."""
    return dict(_below((), dibs))


def verbs() -> list[Path]:
    """The commands that do something: groups only if they do so alone."""
    return [
        path
        for path, command in commands().items()
        if not isinstance(command, click.Group) or (path and command.invoke_without_command)
    ]


def context_of(path: Path) -> click.Context:
    """Where a command's help and usage are written from."""
    context: click.Context = dibs.context_class(dibs, info_name="dibs", **dibs.context_settings)
    for depth in range(1, len(path) + 1):
        command = commands()[path[:depth]]
        context = command.context_class(command, info_name=path[depth - 1], parent=context)
    return context


def paragraphs(command: click.Command) -> list[str]:
    """The help of a command; examples keep their first line, the mark `\\b`."""
    return inspect.cleandoc(command.help or "").split("\n\n")


def examples(command: click.Command) -> list[list[str]]:
    """What the help of a command tells to type: the words after each `dibs`."""
    shown = [text for text in paragraphs(command) if text.startswith("\b\n")]
    lines = [line for text in shown for line in text.splitlines()[1:]]
    # What is said of an example stands well to its right; where the output goes is the shell's.
    typed = [re.split(r" {3,}| >", line)[0] for line in lines]
    pieces = [piece for line in typed for piece in line.split(" | ")]
    return [shlex.split(piece)[1:] for piece in pieces if piece.startswith("dibs ")]


def _below(path: Path, command: click.Command) -> Iterator[tuple[Path, click.Command]]:
    command = command.load() if isinstance(command, Later) else command
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _below((*path, name), command.commands[name])
