"""The service itself: who is asking, whether it is ready, and how it refuses."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from orchestrator.api.wire.members import View
from orchestrator.lifecycle import Role


class Identity(View):
    """The token that asked."""

    name: str
    role: Role
    queues: list[str]
    expires_at: datetime | None


class Health(View):
    """The process answers."""

    status: str


class SnapshotHolder(View):
    """
    Who has kept dead rows from being removed for more than a minute: claims get slower.

    Without a viewer's or an operator's token `name`, `pid`, `since` and `transactions` are null.
    """

    kind: Literal["session", "slot", "prepared"]
    name: str | None = Field(
        description="the session's application_name, the replication slot's name, or the prepared"
        " transaction's gid"
    )
    pid: int | None
    since: datetime | None = Field(
        description="null for a slot, and for another role's session unless the service's role is"
        " a member of pg_read_all_stats"
    )
    seconds: int = Field(description="for so long; at least, without `since`")
    transactions: int | None = Field(description="how many have begun since")
    text: str


class Readiness(View):
    """Whether requests should come here, and why not."""

    ready: bool
    reasons: list[str]
    bell: Literal["listening", "polling"] = Field(
        description="how runs that come through another process reach claims that wait here: at"
        " once, or by a look each second"
    )
    warnings: list[Literal["serves-as-superuser", "serves-as-owner"]] = Field(
        description="no reason not to be ready: the service's role could change the ledger"
    )
    snapshot_holders: list[SnapshotHolder] = Field(
        description="the oldest first; no reason not to be ready"
    )


class BadItem(View):
    """One item of a body that does not fit the schema."""

    path: str = Field(description="JSON pointer")
    message: str


class Problem(View):
    """A refusal (RFC 9457). `code` is stable: one code, one status."""

    # Not every problem has `errors`.
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[BadItem] | None = Field(None, description="with code validation")
