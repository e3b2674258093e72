"""A queue's limit on the command line."""

from __future__ import annotations

import click

MOST = 1_000_000
NO_LIMIT = 0


class NewLimit(click.ParamType[int]):
    """A number from one, or `none`, which is `NO_LIMIT`."""

    name = "n|none"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if value == "none":
            return NO_LIMIT
        text = str(value)
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST):
            self.fail(f"must be a number from 1 to {MOST:,}, or none.", param, ctx)
        return int(text)
