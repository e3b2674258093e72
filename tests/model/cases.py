"""What Spin is asked: do the promises hold, is each mutant caught, does the model get that far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

CLAIMS = Path(__file__).with_name("claims.pml")
ORPHANS = Path(__file__).with_name("orphans.pml")


class Kind(StrEnum):
    """What is expected of a case."""

    HOLDS = "holds"
    """Every promise, in every state."""
    ENDS = "ends"
    """Every run ends, along every fair path."""
    MUTANT = "mutant"
    """A guard is taken away, and a promise breaks."""
    REACHED = "reached"
    """There is a path to it, or what holds would mean little."""


@dataclass(frozen=True)
class Case:
    """
    One search of all states of one model.

    Attributes:
        says: What is checked, what the mutant does, or what is reached.
        defines: What the model is built with.
        breaks: Of a mutant: the promise that its shortest path breaks.
        of_an_end: It is searched for a run that never ends.
    """

    name: str
    kind: Kind
    says: str
    defines: tuple[str, ...]
    breaks: str | None = None
    of_an_end: bool = False
    model: Path = field(default=CLAIMS)


def _mutant(define: str, breaks: str, says: str, *of: str) -> Case:
    name = define.lower().replace("_", "-")
    return Case(name, Kind.MUTANT, says, (define, *of), breaks, of_an_end="ENDS" in of)


def _of_orphans(define: str, breaks: str, says: str) -> Case:
    return replace(_mutant(define, breaks, says), model=ORPHANS)


def _reached(what: str, says: str) -> Case:
    return Case(what.lower().replace("_", "-"), Kind.REACHED, says, (f"REACH={what}",))


EVERY_RUN_ENDS = "every_run_ends"

CASES = (
    Case("two-steps", Kind.HOLDS, "all promises, a run of two steps", ()),
    Case("mutating-step", Kind.HOLDS, "all promises, a mutating step", ("MUTATING",)),
    Case(
        "every-run-ends",
        Kind.ENDS,
        "no run is lost: it ends along every fair path",
        ("ENDS", "STEPS=1"),
        of_an_end=True,
    ),
    Case("orphans", Kind.HOLDS, "leases of lost claim replies are freed", (), model=ORPHANS),
    _reached("A_REPLAYED_CLAIM", "a repeated claim gets its living lease"),
    _reached("A_REPLAYED_REPORT", "a report is repeated when its lease is gone"),
    _reached("A_STALE_REPORT", "an executor reports under its old lease while it has a new one"),
    _reached("AN_OTHER_OUTCOME", "a second outcome under the same lease"),
    _reached("A_FINISH_UNDER_THE_LAST_LEASE", "the third lease finishes the run"),
    _mutant(
        "REPORT_BY_RUN",
        "a_stale_lease_changes_nothing",
        "a report is taken for any run that is not over",
        "STEPS=1",
    ),
    _mutant(
        "REPORT_BY_STATE",
        "a_stale_lease_changes_nothing",
        "a report is taken for any run that is leased",
        "STEPS=1",
    ),
    _mutant(
        "REPORT_BY_EXECUTOR",
        "a_stale_lease_changes_nothing",
        "a report is taken of whoever holds the run, under another lease too",
    ),
    _mutant("REPORT_BY_LEASE_ALONE", "one_result_of_a_step", "a report's step is not looked at"),
    _mutant("ERROR_BY_LEASE_ALONE", "an_outcome_stays", "an error's step is not looked at"),
    _mutant(
        "REPORT_IS_NOT_REPLAYED",
        "a_repeat_gets_what_the_first_got",
        "the ledger is not asked about a report that comes again",
    ),
    _mutant(
        "STEP_STAYS", "one_result_of_a_step", "a success leaves the run at the step that is done"
    ),
    _mutant(
        "ANSWERED_BEFORE_COMMIT", "what_was_acknowledged_is_stored", "a report is answered too soon"
    ),
    _mutant("ABORT_IS_IGNORED", "an_abort_is_obeyed", "a report does not look for an abort"),
    _mutant("STARTED_IS_CLAIMABLE", "at_most_one_live_lease", "a leased run is handed out"),
    _mutant(
        "LEASE_ID_OF_THE_EXECUTOR",
        "a_stale_lease_changes_nothing",
        "a lease has the id of the one before",
    ),
    _mutant("FENCE_OF_THE_FIRST_LEASE", "the_fence_grows", "the fence is not raised"),
    _mutant("CLAIM_IS_NOT_KEPT", "a_repeat_gets_what_the_first_got", "a claim is not remembered"),
    _mutant(
        "KEPT_IN_ANOTHER_TRANSACTION",
        "a_repeat_gets_what_the_first_got",
        "what a claim got is kept in another transaction",
    ),
    _mutant(
        "LOOKED_UP_BEFORE_THE_CLAIM",
        "one_request_gets_one_lease",
        "copies of a claim are told apart in another transaction",
    ),
    _mutant(
        "ENDED_LEASE_IS_REPLAYED",
        "only_live_leases_are_handed_out",
        "a repeated claim gets its lease whether it lives or not",
    ),
    _mutant("RENEWED_BY_RUN", "a_stale_lease_changes_nothing", "a renewal names its run alone"),
    _mutant("RELEASED_BY_RUN", "a_stale_lease_changes_nothing", "a release names its run alone"),
    _mutant(
        "EXPIRED_BY_RUN",
        "only_what_has_expired_is_taken",
        "the keeper selects, and then updates by id",
    ),
    _mutant(
        "LEASE_GOES_BEFORE_THE_STATE",
        "a_run_is_never_lost",
        "the keeper ends the lease in one transaction, and moves the run in another",
    ),
    _mutant("ABORT_WITHOUT_A_LOOK", "an_end_is_for_ever", "an abort does not look at the state"),
    _mutant(
        "VERDICT_FORGETS_THE_MARK",
        "a_begun_step_is_not_begun_again",
        "an expired mutating step that had begun is handed out",
        "MUTATING",
    ),
    _mutant(
        "MARKED_IN_ANOTHER_TRANSACTION",
        "a_begun_step_is_not_begun_again",
        "the mark of a mutating step is written after its answer",
        "MUTATING",
    ),
    _mutant(
        "STARTED_BY_RUN",
        "a_begun_step_is_not_begun_again",
        "the start of a mutating step names its run alone",
        "MUTATING",
    ),
    _mutant("NOTHING_EXPIRES", EVERY_RUN_ENDS, "no keeper ticks", "ENDS", "STEPS=1"),
    _mutant(
        "EXPIRED_RUN_STAYS_OUT",
        EVERY_RUN_ENDS,
        "a run whose lease has ended is not claimable",
        "ENDS",
        "STEPS=1",
    ),
    _of_orphans(
        "AS_OF_IS_NOT_LOOKED_AT", "what_is_wanted_is_never_freed", "asOf says nothing of a lease"
    ),
    _of_orphans(
        "CLAIMING_IS_NOT_LOOKED_AT",
        "what_is_wanted_is_never_freed",
        "what a claim in flight was granted is not spared",
    ),
    _of_orphans(
        "AS_OF_IS_READ_LAST",
        "what_is_wanted_is_never_freed",
        "the heartbeat reads asOf after the names",
    ),
    _of_orphans(
        "SENT_BEFORE_IT_IS_NAMED",
        "what_is_wanted_is_never_freed",
        "a claim is sent before heartbeats name it",
    ),
    _of_orphans(
        "FORGOTTEN_BEFORE_IT_IS_KNOWN",
        "what_is_wanted_is_never_freed",
        "an answered claim is forgotten before its lease is known",
    ),
    _of_orphans(
        "GIVEN_UP_IS_STILL_NAMED",
        "an_orphan_is_freed_by_the_second_heartbeat",
        "a claim that was given up is named for ever",
    ),
)
