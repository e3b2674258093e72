"""Why a run does not execute now: each gate before it, and which of them are shut."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.lifecycle import Gate

EXECUTING = "executing"
NEXT = "next"


@dataclass(frozen=True, slots=True)
class GateSeen:
    """A gate before a run as it stands, in a sentence or two."""

    gate: Gate
    is_open: bool
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    Why a run does not execute now, or that it does.

    Attributes:
        is_executing: Somebody holds it under a lease that has not run out.
        reason: The first gate that is shut; `executing`, or `next` when none is.
        text: The reason's own text, and how many other gates are shut.
        gates: Those that stand before a run in this state, in the order in which they count.
    """

    run_state: str
    is_executing: bool
    reason: str
    text: str
    gates: tuple[GateSeen, ...]
