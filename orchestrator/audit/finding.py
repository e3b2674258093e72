"""A finding: something that must hold, and does not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Rule(StrEnum):
    """What must hold; docs/auditing.md says what each means."""

    SEQ_GAP = "seq-gap"
    BROKEN_CHAIN = "broken-chain"
    ILLEGAL_TRANSITION = "illegal-transition"
    AFTER_THE_END = "after-the-end"
    OUTCOME_STATE = "outcome-state"
    LEASE_OVERLAP = "lease-overlap"
    LEASE_USED_AGAIN = "lease-used-again"
    LEASE_INCOMPLETE = "lease-incomplete"
    FENCE_NOT_GROWING = "fence-not-growing"
    FOREIGN_LEASE = "foreign-lease"
    NOT_THE_HOLDER = "not-the-holder"
    LEASE_NOT_TAKEN_BACK = "lease-not-taken-back"
    WRONG_STEP = "wrong-step"
    SECOND_RESULT = "second-result"
    RESULT_WITHOUT_REPORT = "result-without-report"
    REPORT_WITHOUT_RESULT = "report-without-result"
    ROW_DISAGREES = "row-disagrees"
    NO_RUN = "no-run"
    GRANT_DISAGREES = "grant-disagrees"
    TOLD_BUT_GONE = "told-but-gone"
    TOLD_OTHERWISE = "told-otherwise"
    HANDED_OUT_TWICE = "handed-out-twice"
    WINNER_REFUSED = "winner-refused"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What does not hold, of which run.

    Attributes:
        seq: The event that shows it; None when no single one does.
        what: One sentence.
    """

    run_id: UUID
    rule: Rule
    what: str
    seq: int | None = None

    def __str__(self) -> str:
        event = "" if self.seq is None else f" event {self.seq}"
        return f"run {self.run_id}{event}: {self.what} [{self.rule}]"


def short(lease_id: UUID | None) -> str:
    """Enough of a lease's id to find it, and too little to use it."""
    return "no lease" if lease_id is None else f"lease {str(lease_id)[:8]}…"
