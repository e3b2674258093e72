"""Explain: why a run does not execute now."""

from __future__ import annotations

from pydantic import Field

from orchestrator.api.wire.members import View
from orchestrator.lifecycle import Gate, RunState


class GateView(View):
    """What stands between a run and its execution, or would."""

    gate: Gate
    open: bool
    text: str = Field(description="a sentence or two, with figures; times are UTC")


class ExplanationView(View):
    """Why a run does not execute now, or that it does."""

    run_state: RunState
    executing: bool = Field(description="somebody holds it under a lease that has not run out")
    reason: str = Field(
        description="the first gate that is shut; `executing` or `next` when none is"
    )
    text: str = Field(description="the reason's text, and how many other gates are shut")
    gates: list[GateView] = Field(
        description="those that stand before a run in its state, in the order in which they count"
    )
