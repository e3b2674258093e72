"""Which runs: the options that say so, for lists and for acts on many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from orchestrator.lifecycle import RunState

Command = TypeVar("Command", bound=Callable[..., Any])


class States(click.ParamType[str]):
    """States of runs, with commas between."""

    name = "states"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        unknown = [state for state in value.split(",") if state not in set(RunState)]
        if unknown:
            self.fail(f"{unknown[0]!r} is no state: {', '.join(RunState)}.", param, ctx)
        return value

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        before, comma, begun = incomplete.rpartition(",")
        given = before.split(",")
        return [
            CompletionItem(f"{before}{comma}{state}")
            for state in RunState
            if state.startswith(begun) and state not in given
        ]


@dataclass(frozen=True)
class RunFilter:
    """What runs are to have in common; None leaves it open."""

    state: str | None
    queue: str | None
    workflow: str | None
    executor: str | None
    created_after: str | None

    def members(self) -> dict[str, str]:
        """As the API names them, without what is left open."""
        wanted = {
            "state": self.state,
            "queue": self.queue,
            "workflow": self.workflow,
            "executor": self.executor,
            "createdAfter": self.created_after,
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.members().items())


def filter_options(command: Command) -> Command:
    """Adds the options; the command takes them as `**wanted`, for `RunFilter`."""
    for option in (
        click.option("--created-after", metavar="TIME", help="Created later (RFC 3339)."),
        click.option("--executor", metavar="NAME", help="Held by this executor."),
        click.option("--workflow", metavar="NAME", help="Of this workflow."),
        click.option("--queue", metavar="NAME", help="Of this queue."),
        click.option(
            "--state",
            type=States(),
            metavar="STATES",
            help="In one of these states, with commas between.",
        ),
    ):
        command = option(command)
    return command
