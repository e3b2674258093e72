"""One process's application: its parts, its routes, its refusals."""

from __future__ import annotations

import threading
from typing import cast

from opentelemetry.trace import Tracer

from orchestrator.api.access import require_declarations
from orchestrator.api.application import Application
from orchestrator.api.audit import audit
from orchestrator.api.authentication import failed_credentials
from orchestrator.api.bulk import bulk
from orchestrator.api.claims import claims
from orchestrator.api.compat.site import register_compat
from orchestrator.api.context import EXTENSION, Services
from orchestrator.api.docs import docs
from orchestrator.api.executors import executors
from orchestrator.api.explain import explanations
from orchestrator.api.health import health
from orchestrator.api.leases import leases
from orchestrator.api.metrics import metrics
from orchestrator.api.mount import below
from orchestrator.api.openapi import register_openapi
from orchestrator.api.problems import register_problems
from orchestrator.api.queues import queues
from orchestrator.api.readiness import Readiness
from orchestrator.api.reports import reports
from orchestrator.api.request_budgets import RequestBudgets
from orchestrator.api.run_acts import run_acts
from orchestrator.api.runs import runs
from orchestrator.api.schedules import schedules
from orchestrator.api.stored_tokens import StoredTokens
from orchestrator.api.tokens import Tokens
from orchestrator.api.traffic import Traffic
from orchestrator.api.whoami import whoami
from orchestrator.api.workflows import workflows
from orchestrator.desk.activity import Activity
from orchestrator.desk.bell import Bell
from orchestrator.desk.census import CensusDesk
from orchestrator.desk.claim_desk import ClaimDesk
from orchestrator.desk.creates import CreateDesk
from orchestrator.desk.keeper import Keeper
from orchestrator.desk.leases import LeaseDesk
from orchestrator.desk.outcomes import kept_outcomes
from orchestrator.desk.report_desk import ReportDesk
from orchestrator.desk.run_watch import RunWatch
from orchestrator.desk.signs_of_life import SignsOfLife
from orchestrator.desk.starting_points import StartingPoints
from orchestrator.desk.vitals import VitalsDesk
from orchestrator.metrics.catalogue import Levels, Metrics
from orchestrator.metrics.meter import Meter
from orchestrator.metrics.minute import LastMinute
from orchestrator.pages.site import register_pages
from orchestrator.settings import Settings
from orchestrator.store.engine import open_database

VERSION = "0.1.0"

_BLUEPRINTS = (
    runs,
    explanations,
    run_acts,
    bulk,
    claims,
    leases,
    reports,
    executors,
    queues,
    workflows,
    schedules,
    audit,
    whoami,
    health,
    metrics,
    docs,
)


def create_app(
    settings: Settings,
    *,
    draining: threading.Event | None = None,
    meter: Meter | None = None,
    tracer: Tracer | None = None,
) -> Application:
    """
    Make the application of one process. Nothing is connected yet.

    Args:
        draining: Set by whoever ends the process: from then on it is not ready
            and nothing waits.
        meter: Where it counts; one of its own unless told otherwise.
        tracer: Makes the spans of requests; there are none without it.

    Raises:
        RuntimeError: A route has no declared roles.
    """
    draining, meter = draining or threading.Event(), meter or Meter()
    app = Application(
        "orchestrator.api",
        title="Dibs",
        version=VERSION,
        json_errors=False,
        enable_openapi=False,
        # None is meant: no route that nobody declared. The annotation forgets it.
        static_folder=cast(str, None),
    )
    app.description = "Hands each workflow run to exactly one executor."
    app.url_map.merge_slashes = False
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    register_problems(app)
    register_openapi(app)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    if settings.compat:
        register_compat(app)
    register_pages(app)
    require_declarations(app)
    app.traffic = Traffic(app, meter)
    app.extensions[EXTENSION] = _services(settings, draining, meter, app.traffic, tracer)
    if settings.path_prefix:
        app.wsgi_app = below(settings.path_prefix, app.wsgi_app)  # type: ignore[assignment]
    return app


def _services(
    settings: Settings,
    draining: threading.Event,
    meter: Meter,
    traffic: Traffic,
    tracer: Tracer | None,
) -> Services:
    bell = Bell(settings.postgres_url)
    database = open_database(
        settings.postgres_url,
        work_connections=settings.work_connections,
        lease_connections=settings.lease_connections,
        arrived=bell.ring,
        metrics=Metrics(meter),
    )
    signs, points = SignsOfLife(), StartingPoints()
    census = CensusDesk(database)
    claim_desk = ClaimDesk(
        database,
        signs,
        points,
        parked_limit=settings.parked_claims,
        draining=draining,
        hears_others=lambda: bell.hears_others,
    )
    bell.hear = claim_desk.ring
    return Services(
        settings=settings,
        database=database,
        tokens=Tokens(StoredTokens(database, development=settings.on_loopback).read),
        token_budgets=RequestBudgets(
            settings.token_requests_per_second, burst=2 * settings.token_requests_per_second
        ),
        failed_credentials=failed_credentials(),
        claim_desk=claim_desk,
        create_desk=CreateDesk(database, claim_desk),
        report_desk=ReportDesk(database),
        lease_desk=LeaseDesk(database),
        # Some threads are left for what does not wait.
        run_watch=RunWatch(
            database,
            limit=(settings.threads - settings.parked_claims) // 2,
            draining=draining,
        ),
        census=census,
        vitals=VitalsDesk(database),
        activity=Activity(database, census),
        signs=signs,
        keeper=Keeper(database, signs, points, retention_days=settings.retention_days),
        readiness=Readiness(settings.postgres_url, draining, database.primary),
        draining=draining,
        bell=bell,
        outcomes=kept_outcomes(database),
        traffic=traffic,
        meter=meter,
        levels=Levels(meter),
        tracer=tracer,
        last_minute=LastMinute(meter),
    )
