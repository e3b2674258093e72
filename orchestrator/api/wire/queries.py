"""What may stand behind the question mark of a path."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from orchestrator.api.wire.members import Body, Instant, Name
from orchestrator.lifecycle import RunState


def _whole_number(text: Any) -> Any:
    # Digits only: no sign, no blank, no `5.0`. What is not is left to the
    # strict integer to refuse.
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else text


def _states(text: Any) -> Any:
    try:
        return frozenset(RunState(state) for state in text.split(","))
    except (AttributeError, ValueError):
        raise ValueError(f"must be states separated by commas: {', '.join(RunState)}") from None


_STATE: Final = f"({'|'.join(RunState)})"

WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
States = Annotated[
    frozenset[RunState],
    BeforeValidator(_states),
    WithJsonSchema(
        {"type": "string", "pattern": f"^{_STATE}(,{_STATE})*$", "examples": ["pending,failed"]}
    ),
]
ExecutorName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,126}$")]


class RunsFilter(Body):
    """Which runs: each member narrows it."""

    state: States | None = None
    queue: Name | None = None
    workflow: Name | None = None
    executor: ExecutorName | None = None
    created_after: Instant | None = None

    def filters(self) -> dict[str, str | datetime | list[str] | None]:
        """The members by name, in one order whatever was sent."""
        return {
            "state": sorted(self.state) if self.state else None,
            "queue": self.queue,
            "workflow": self.workflow,
            "executor": self.executor,
            "created_after": self.created_after,
        }


class RunsQuery(RunsFilter):
    """Which runs to list. A cursor is bound to the filter, not to the limit."""

    limit: WholeNumber = Field(50, ge=1, le=500)
    cursor: str | None = Field(None, max_length=500)


class RunQuery(Body):
    """How long to wait for a run to be over or waiting."""

    wait_seconds: WholeNumber = Field(0, ge=0, le=30)


class WorkflowQuery(Body):
    """Which version of a workflow; the current one by default."""

    version: Annotated[WholeNumber, Field(ge=1, le=2**31 - 1)] | None = None
