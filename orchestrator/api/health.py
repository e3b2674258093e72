"""Whether this process lives, and whether requests should come to it."""

from __future__ import annotations

from flask import Response

from orchestrator.api.access import NO_TOKEN, allow, is_watcher
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

    What will make claims slow, and what the role may do too much, stands beside; who holds a
    snapshot, and what the role may do, is told to a viewer's or an operator's token only. No
    token is needed, and a bad one does no harm.
    """
    readiness = services().readiness
    reasons, old = readiness.reasons(), readiness.old_snapshots()
    warnings = readiness.warnings()
    # Asked only where it makes a difference: looking a token up may wait for the database.
    named = bool(old or warnings) and is_watcher()
    body = {
        "ready": not reasons,
        "reasons": reasons,
        "bell": "listening" if services().bell.hears_others else "polling",
        "warnings": warnings if named else [],
        "snapshotHolders": [snapshot_holder_body(each, named=named) for each in old],
    }
    return answer(body, 503 if reasons else 200)
