"""What Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from flask import Response
from prometheus_client.metrics_core import Metric

from orchestrator.api.access import WATCHERS, allow, by_last_known_bearer, caller
from orchestrator.api.answer import WholeAnswer
from orchestrator.api.blueprint import AnswersByStatus, blueprint
from orchestrator.api.census_metrics import of_census
from orchestrator.api.context import Services, services
from orchestrator.api.levels import publish
from orchestrator.api.vital_metrics import of_build, of_database, of_snapshots
from orchestrator.errors import DibsError
from orchestrator.metrics.exposition import MEDIA_TYPE, counted, exposition

metrics = blueprint("metrics")

_AS_TEXT: Final[AnswersByStatus] = {
    200: {
        "description": "Prometheus's text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


@metrics.get("/metrics")
@allow(WATCHERS, told_by=by_last_known_bearer)
@metrics.doc(responses=_AS_TEXT)
def expose() -> Response:
    """What all processes of this server have counted, and how things stand, for Prometheus.

    Whichever process is asked answers for all of them. What the database knows is as of a
    few seconds ago, by queue of those that the token is for; while the database is away that
    is left out, and `dibs_database_up` is 0.
    """
    parts = services()
    publish(parts)
    told = exposition(counted(parts.meter), of_build(), _of_database(parts))
    return WholeAnswer(told, content_type=MEDIA_TYPE)


def _of_database(parts: Services) -> Iterator[Metric]:
    try:
        yield from of_database(parts.vitals.now())
    except DibsError:
        yield from of_database(None)
        return
    yield from of_snapshots(parts.readiness.old_snapshots())
    yield from _unless_away(parts)


def _unless_away(parts: Services) -> Iterable[Metric]:
    try:
        return of_census(parts.census.now(), caller().queues)
    except DibsError:
        return ()
