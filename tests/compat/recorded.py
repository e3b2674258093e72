"""One session of the pull request's executor, as it was seen on the wire."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

Json = dict[str, Any]

FILE = Path(__file__).with_name("recorded_session.json")


@dataclass(frozen=True)
class Exchange:
    """
    One request, and its answer.

    Attributes:
        to: orchestrator, agent or executor.
        headers: The names of those that say who is asking.
        has_body: The answer had one; `null` is one.
        claims: What the token for the agent said, without its times.
    """

    to: str
    method: str
    path: str
    headers: list[str]
    body: Any
    status: int
    answer: Any
    has_body: bool
    claims: Json | None = None

    @property
    def runs(self) -> list[Json]:
        """The runs that the answer hands out, for the caller to change."""
        answers = self.answer if isinstance(self.answer, list) else [self.answer]
        runs = [one for one in answers if isinstance(one, dict) and "workflowHistory" in one]
        return copy.deepcopy(runs)


@dataclass(frozen=True)
class Session:
    """
    All of it, in the order in which it was sent.

    Attributes:
        steps: The definitions of the run's steps.
    """

    run: Json
    steps: list[Json]
    exchanges: list[Exchange] = field(default_factory=list)

    def to(self, *whom: str) -> Iterator[Exchange]:
        return (exchange for exchange in self.exchanges if exchange.to in whom)


@cache
def session() -> Session:
    """What the file holds, each answer written out."""
    file = json.loads(FILE.read_bytes())

    def written_out(answer: Any) -> Any:
        if isinstance(answer, list):
            return [written_out(each) for each in answer]
        if not isinstance(answer, dict) or "run" not in answer:
            return answer
        told = {name: value for name, value in answer.items() if name not in ("run", "context")}
        *past, current = [
            {
                "stepName": f"step_{index}",
                "stepIndex": index,
                "done": index < answer["run"],
                "stepDefinition": step["definition"],
                "context": step["context"],
            }
            for index, step in enumerate(file["steps"][: answer["run"] + 1])
        ]
        del current["context"]
        if "context" in answer:
            current["context"] = answer["context"]
        return {**file["run"], **told, "workflowHistory": [*past, current]}

    return Session(
        file["run"],
        [step["definition"] for step in file["steps"]],
        [
            Exchange(answer=written_out(each.pop("answer")), has_body=each.pop("hasBody"), **each)
            for each in file["exchanges"]
        ],
    )
