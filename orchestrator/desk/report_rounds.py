"""How the reports of one request are taken one after another where they are about one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from orchestrator.store.reports import Report

# Each is a transaction: else one request could ask for five hundred.
MOST_ROUNDS: Final = 8


@dataclass(frozen=True, slots=True)
class Rounds:
    """
    The reports of a request, by their places in it.

    Attributes:
        batches: To be stored in this order; no batch has a run twice.
        copies: Where a report is the same as one before it: the place of that one.
        beyond: About a run that fills all rounds already.
    """

    batches: list[dict[int, Report]] = field(default_factory=list)
    copies: dict[int, int] = field(default_factory=dict)
    beyond: list[int] = field(default_factory=list)


def rounds(told: Sequence[Report]) -> Rounds:
    """Split a request so that a report is judged after those before it of the same run."""
    split = Rounds()
    first: dict[tuple[UUID, UUID, int, bytes], int] = {}
    taken: dict[UUID, int] = {}
    for place, item in enumerate(told):
        key = (item.run_id, item.lease_id, item.step_index, item.outcome_hash)
        original = first.setdefault(key, place)
        number = taken.get(item.run_id, 0)
        if original != place:
            split.copies[place] = original
        elif number == MOST_ROUNDS:
            split.beyond.append(place)
        else:
            taken[item.run_id] = number + 1
            if number == len(split.batches):
                split.batches.append({})
            split.batches[number][place] = item
    return split
