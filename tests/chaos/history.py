"""What clients asked and were answered, one JSON object a line, for a checker to read."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

CLIENT = "client"
"""Who asked when the request does not say which executor it is from."""


@dataclass(frozen=True)
class Exchange:
    """
    One request as its sender saw it, and what else came of it.

    Attributes:
        proc: The executor's instance, or `CLIENT`.
        op: Method and path.
        args: The request's body.
        result: "ok", "refused", or "unknown" when no answer that tells was heard.
        answer: The body that was heard; None when `result` is "unknown".
        status: Of the answer that was heard, if any was.
        unheard: Bodies of answers that were given and reached nobody.
    """

    proc: str
    op: str
    args: Any
    sent: str
    returned: str | None
    result: str
    answer: Any
    status: int | None
    unheard: list[Any]


@dataclass(frozen=True)
class History:
    """One file, one line for each exchange, written in one go."""

    path: Path

    def write(self, exchange: Exchange) -> None:
        line = orjson.dumps(vars(exchange), option=orjson.OPT_APPEND_NEWLINE)
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line)
        finally:
            os.close(file)

    def exchanges(self) -> list[Exchange]:
        """Everything so far, in the order in which it ended."""
        if not self.path.exists():
            return []
        return [Exchange(**orjson.loads(line)) for line in self.path.read_bytes().splitlines()]


def result_of(status: int | None) -> str:
    """What an answer of this status tells its reader; None for no answer."""
    if status is None or status in (408, 429) or status >= 500:
        return "unknown"
    return "ok" if status < 400 else "refused"


def sender_of(body: Any) -> str:
    """Who sent a request with this body."""
    return str(body.get("executor") or CLIENT) if isinstance(body, Mapping) else CLIENT


def now() -> str:
    """This moment as the history has it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
