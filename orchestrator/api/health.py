"""Whether this process lives, and whether requests should come to it."""

from __future__ import annotations

from flask import Response

from orchestrator.api.access import NO_TOKEN, allow
from orchestrator.api.answer import answer
from orchestrator.api.blueprint import also, blueprint
from orchestrator.api.bodies import snapshot_holder_body
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
    """The database is there, its schema is this code's, and the process is not draining.

    What will make claims slow, and what the role may do too much, is named beside.
    """
    readiness = services().readiness
    reasons = readiness.reasons()
    body = {
        "ready": not reasons,
        "reasons": reasons,
        "bell": "listening" if services().bell.hears_others else "polling",
        "warnings": readiness.warnings(),
        "snapshotHolders": [snapshot_holder_body(each) for each in readiness.old_snapshots()],
    }
    return answer(body, 503 if reasons else 200)
