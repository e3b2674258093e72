"""The service itself: who is asking, whether it is ready, and how it refuses."""

from __future__ import annotations

from datetime import datetime

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


class Readiness(View):
    """Whether requests should come here, and why not."""

    ready: bool
    reasons: list[str]


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
