"""What Prometheus reads."""

from __future__ import annotations

from typing import Final

from flask import Response

from orchestrator.api.access import WATCHERS, allow
from orchestrator.api.answer import WholeAnswer
from orchestrator.api.blueprint import AnswersByStatus, blueprint
from orchestrator.api.context import services
from orchestrator.api.levels import publish
from orchestrator.metrics.exposition import MEDIA_TYPE, counted, exposition

metrics = blueprint("metrics")

_AS_TEXT: Final[AnswersByStatus] = {
    200: {
        "description": "Prometheus's text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


@metrics.get("/metrics")
@allow(WATCHERS)
@metrics.doc(responses=_AS_TEXT)
def expose() -> Response:
    """What all processes of this server have counted, and how things stand, for Prometheus.

    Whichever process is asked answers for all of them. What the database knows is as of a
    few seconds ago.
    """
    parts = services()
    publish(parts)
    return WholeAnswer(exposition(counted(parts.tally)), content_type=MEDIA_TYPE)
