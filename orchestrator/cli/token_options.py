"""The values that `dibs token` takes."""

import re
from datetime import timedelta

import click

from orchestrator.lifecycle import NAME_PATTERN

_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


class TokenName(click.ParamType[str]):
    """A name as the wire has them."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(NAME_PATTERN, value):
            self.fail(
                "must be letters, digits, '.', '_' or '-', at most 63, as in web-1.", param, ctx
            )
        return value


class QueuePattern(click.ParamType[str]):
    """A queue's exact name, a prefix like `billing.*`, or `*`."""

    name = "queue"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value != "*" and not re.fullmatch(NAME_PATTERN, value.removesuffix(".*")):
            self.fail("must be a queue's name, a prefix like billing.*, or *.", param, ctx)
        return value


class Lasting(click.ParamType[timedelta | None]):
    """A time like 90d, 12h or 30m; `never` is None."""

    name = "duration"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta | None:
        if isinstance(value, timedelta):
            return value
        if value == "never":
            return None
        found = re.fullmatch(r"([1-9][0-9]{0,4})([dhm])", value)
        if found is None:
            self.fail("must look like 90d, 12h, 30m or never.", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
