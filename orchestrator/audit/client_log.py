"""A client's own log: what it asked, and what it was answered.

One JSON object a line, written by whoever spoke to the orchestrator:

    {"proc": "executor-1", "op": "POST /v1/claims", "args": {…}, "sent": "2026-…Z",
     "returned": "2026-…Z", "result": "ok", "answer": {…}}

- `proc` names the process that asked; `op` is method and path.
- `args` is the request's body; `answer` the answer's, null when there was none.
- `sent` and `returned` are RFC 3339 times of the client's clock; `returned` is null
  when no answer came. They only decide whether a run may have been pruned since.
- `result`: `ok` for an answer of 200 or 201; `refused` for any other answer that says
  what did not happen; `unknown` for no answer, and for 503 `outcome-unknown`.

Other members are ignored. A last line without its end was being written when the process
was killed, and is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

OK = "ok"
RESULTS = (OK, "refused", "unknown")


class BadEntry(ValueError):
    """A line that is none of a client's log; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request; `place` is `<file>:<line>`."""

    place: str
    proc: str
    method: str
    path: str
    args: Any
    sent: datetime
    result: str
    answer: Any


def read_log(file: Path) -> Iterator[Entry]:
    """
    The entries of a log, in order.

    Raises:
        BadEntry: A line is no entry.
    """
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            if line.strip():
                yield _entry(f"{file}:{number}", line)


def _entry(place: str, line: bytes) -> Entry:
    try:
        value = json.loads(line)
        method, _, path = value["op"].partition(" ")
        sent = datetime.fromisoformat(value["sent"])
        entry = Entry(
            place=place,
            proc=value["proc"],
            method=method,
            path=path.partition("?")[0],
            args=value["args"],
            sent=sent,
            result=value["result"],
            answer=value["answer"],
        )
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise BadEntry(f"{place} is no entry of a client's log: {error!r}") from error
    if sent.tzinfo is None or entry.result not in RESULTS:
        raise BadEntry(f"{place}: `sent` needs a zone, and `result` is one of {RESULTS}")
    return entry
