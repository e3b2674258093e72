"""Whether this process lives, and whether requests should come to it."""

from __future__ import annotations

from flask import Response

from orchestrator.api.access import NO_TOKEN, allow
from orchestrator.api.answer import answer
from orchestrator.api.blueprint import also, blueprint
from orchestrator.api.context import services
from orchestrator.api.wire.service import Health, Readiness

health = blueprint("health")


@health.get("/healthz")
@allow(NO_TOKEN)
@health.output(Health)
def healthz() -> Response:
    """The process answers; the database is not asked."""
    return answer({"status": "ok"})


@health.get("/readyz")
@allow(NO_TOKEN)
@health.output(Readiness)
@health.doc(responses=also(503, Readiness, "Not ready, and why."))
def readyz() -> Response:
    """The database is there, its schema is this code's, and the process is not draining."""
    reasons = services().readiness.reasons()
    return answer({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)
