"""Explain: why a run does not execute now."""

from __future__ import annotations

from flask import Response

from orchestrator.api.access import READERS, WATCHERS, allow, caller
from orchestrator.api.answer import answer
from orchestrator.api.blueprint import blueprint, refuses
from orchestrator.api.bodies import explanation_body
from orchestrator.api.context import services
from orchestrator.api.parameters import run_id_of
from orchestrator.api.wire.explanation import ExplanationView
from orchestrator.desk.explain import explain_run
from orchestrator.desk.run_facts import Onlooker
from orchestrator.errors import RunNotFound

explanations = blueprint("explanations", tag="Runs")


@explanations.get("/v1/runs/<run_id>/explain")
@allow(READERS)
@refuses(RunNotFound)
@explanations.output(ExplanationView)
def explain(run_id: str) -> Response:
    """Why a run does not execute now: each gate before it, and which of them are shut."""
    who = caller()
    onlooker = Onlooker(who.queues, sees_executors=who.role in WATCHERS)
    seen = explain_run(services().database, run_id_of(run_id), onlooker)
    return answer(explanation_body(seen))
