"""What the views of one process share. Made by `create_app`, never global."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from flask import Flask
from opentelemetry.trace import Tracer

from orchestrator.api.call import call
from orchestrator.api.readiness import Readiness
from orchestrator.api.request_budgets import RequestBudgets
from orchestrator.api.tokens import Tokens
from orchestrator.api.traffic import Traffic
from orchestrator.desk.activity import Activity
from orchestrator.desk.bell import Bell
from orchestrator.desk.census import CensusDesk
from orchestrator.desk.claim_desk import ClaimDesk
from orchestrator.desk.creates import CreateDesk
from orchestrator.desk.keeper import Keeper
from orchestrator.desk.kept import Kept
from orchestrator.desk.leases import LeaseDesk
from orchestrator.desk.report_desk import ReportDesk
from orchestrator.desk.run_watch import RunWatch
from orchestrator.desk.signs_of_life import SignsOfLife
from orchestrator.desk.vitals import VitalsDesk
from orchestrator.metrics.catalogue import Levels
from orchestrator.metrics.meter import Meter
from orchestrator.metrics.minute import LastMinute
from orchestrator.settings import Settings
from orchestrator.store.engine import Database
from orchestrator.store.outcomes import Outcomes

EXTENSION = "dibs"


@dataclass(frozen=True, slots=True)
class Services:
    """One process's parts."""

    settings: Settings
    database: Database
    tokens: Tokens
    token_budgets: RequestBudgets
    failed_credentials: RequestBudgets
    claim_desk: ClaimDesk
    create_desk: CreateDesk
    report_desk: ReportDesk
    lease_desk: LeaseDesk
    run_watch: RunWatch
    census: CensusDesk
    vitals: VitalsDesk
    activity: Activity
    signs: SignsOfLife
    keeper: Keeper
    readiness: Readiness
    draining: threading.Event
    bell: Bell
    outcomes: Kept[list[Outcomes]]
    traffic: Traffic
    meter: Meter
    levels: Levels
    tracer: Tracer | None
    last_minute: LastMinute


def services() -> Services:
    """The parts of the process that serves the present request."""
    return call().services


def services_of(app: Flask) -> Services:
    """The parts of an application."""
    shared: Services = app.extensions[EXTENSION]
    return shared
