"""A run on the command line: its id."""

from __future__ import annotations

import click

from orchestrator.cli.run_ids import is_run_id

STANDARD_INPUT = "-"


class RunId(click.ParamType[str]):
    """
    A run's id as every command prints it.

    Args:
        or_dash: Whether `-` may stand for those on standard input.
    """

    name = "run"

    def __init__(self, *, or_dash: bool = False) -> None:
        self._or_dash = or_dash

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_run_id(value) and not (self._or_dash and value == STANDARD_INPUT):
            self.fail(
                f"{value!r} is no run's id; `dibs runs list` shows them, as in"
                " 01980000-0000-7000-8000-000000000001.",
                param,
                ctx,
            )
        return value


run_argument = click.argument("run_id", metavar="RUN", type=RunId())
