"""The ledger of operators' acts: what is asked of it, and how it is shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from orchestrator.api.wire.members import Body, Json, Key, View
from orchestrator.api.wire.queries import WholeNumber
from orchestrator.lifecycle import ActKind


class ActsQuery(Body):
    """Which acts to list. A cursor is bound to the filter, not to the limit."""

    actor: Key | None = Field(None, description="a token's name, or cli:<user>")
    kind: Annotated[ActKind, Field(strict=False)] | None = None
    subject: Key | None = Field(None, description="to what it was done: a run's id, or a name")
    limit: WholeNumber = Field(50, ge=1, le=500)
    cursor: str | None = Field(None, max_length=500)

    def filters(self) -> dict[str, str | None]:
        """The members by name; the list's own name keeps its cursors from other lists."""
        return {
            "list": "audit",
            "actor": self.actor,
            "kind": self.kind,
            "subject": self.subject,
        }


class OperatorActView(View):
    """What somebody did."""

    id: UUID
    at: datetime
    actor: str = Field(description="the token's name, or cli:<user> on the command line")
    key_id: str | None = Field(description="which token; null on the command line")
    request_id: str | None
    kind: str
    subject: str = Field(description="to what: a run's id, or a name")
    queue: str | None = Field(description="of which queue; null: of none, or of several")
    detail: Json = Field(description="what was asked for")


class ActPage(View):
    """Acts, newest first."""

    items: list[OperatorActView]
    next_cursor: str | None
