"""Acts of clients and operators: each once, and a clear word when it cannot be.

With a key an act can be repeated: the repeat changes nothing and gets the run
as it is now. Without one it is a compare-and-set on the state.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from orchestrator.desk.visibility import visible_run
from orchestrator.errors import Overloaded, RunAlreadyActive, RunOver, StateConflict
from orchestrator.lifecycle import OVER, RunState, WaitingReason
from orchestrator.store import acts, runs
from orchestrator.store.acts import Act
from orchestrator.store.engine import Database
from orchestrator.store.records import Run
from orchestrator.store.transaction import constraint_of, transact

Change = Callable[[Connection, Act], Run | None]

TRIES = 3


class _TryAgain(Exception):
    """The state changed between the act and the look that words the refusal."""


def abort(database: Database, act: Act, queue_patterns: tuple[str, ...]) -> Run:
    """
    Abort a run; a held one goes on until its holder has heard of it.

    Raises:
        RunNotFound, RunOver.
        StateConflict: Its outcome is unknown: only resolve moves it.
    """

    def refuse(run: Run) -> Run:
        if run.run_state in OVER:
            raise RunOver(run.id, run.run_state)
        if run.waiting_reason == WaitingReason.OUTCOME_UNKNOWN:
            raise StateConflict(
                run.id, run.run_state, "abort", "its outcome is unknown; resolve it as abort."
            )
        if run.abort_requested_at is None:
            raise _TryAgain
        return run

    return _act(database, act, queue_patterns, acts.abort, ("aborted", "abort-requested"), refuse)


def retry(database: Database, act: Act, queue_patterns: tuple[str, ...]) -> Run:
    """
    Run a failed or aborted run again from the step that failed.

    Raises:
        RunNotFound.
        RunOver: It is finished, for ever.
        StateConflict: It is not over.
        RunAlreadyActive: A live run has its dedupKey.
    """

    def refuse(run: Run) -> Run:
        if run.run_state == RunState.FINISHED:
            raise RunOver(run.id, run.run_state)
        if run.run_state in OVER:
            raise _TryAgain
        raise StateConflict(run.id, run.run_state, "retry", "only failed or aborted runs are.")

    try:
        return _act(database, act, queue_patterns, acts.retry, ("retried",), refuse)
    except IntegrityError as error:
        if constraint_of(error) != "workflowRuns_dedup":
            raise
    return transact(database.work, lambda connection: _say_who_is_active(connection, act))


def resume(
    database: Database, act: Act, queue_patterns: tuple[str, ...], *, input_json: str
) -> Run:
    """
    Give a waiting run the input it waits for.

    Raises:
        RunNotFound, RunOver.
        StateConflict: It does not wait for input.
    """

    def refuse(run: Run) -> Run:
        if run.run_state in OVER:
            raise RunOver(run.id, run.run_state)
        if run.waiting_reason == WaitingReason.INPUT:
            raise _TryAgain
        raise StateConflict(run.id, run.run_state, "resume", "it does not wait for input.")

    return _act(
        database,
        act,
        queue_patterns,
        lambda connection, act: acts.resume(connection, act, input_json=input_json),
        ("resumed",),
        refuse,
    )


def resolve(
    database: Database,
    act: Act,
    queue_patterns: tuple[str, ...],
    *,
    as_: str,
    output_json: str,
) -> Run:
    """
    Say what became of a mutating step whose outcome is unknown.

    Args:
        as_: done (with this output), run-again (under a new idempotency key) or abort.

    Raises:
        RunNotFound, RunOver.
        StateConflict: Its outcome is not unknown.
    """
    changes: dict[str, Change] = {
        "done": lambda connection, act: acts.resolve_done(connection, act, output_json=output_json),
        "run-again": acts.resolve_run_again,
        "abort": acts.resolve_abort,
    }

    def refuse(run: Run) -> Run:
        if run.run_state in OVER:
            raise RunOver(run.id, run.run_state)
        if run.waiting_reason == WaitingReason.OUTCOME_UNKNOWN:
            raise _TryAgain
        raise StateConflict(run.id, run.run_state, "resolve", "its outcome is not unknown.")

    return _act(database, act, queue_patterns, changes[as_], ("resolved",), refuse)


def _act(
    database: Database,
    act: Act,
    queue_patterns: tuple[str, ...],
    change: Change,
    kinds: tuple[str, ...],
    refuse: Callable[[Run], Run],
) -> Run:
    def work(connection: Connection) -> Run:
        visible_run(connection, act.run_id, queue_patterns)
        changed = change(connection, act)
        if changed is not None:
            return changed
        run = visible_run(connection, act.run_id, queue_patterns)
        return run if acts.was_done(connection, act, kinds=kinds) else refuse(run)

    for _ in range(TRIES):
        try:
            return transact(database.work, work)
        except _TryAgain:
            continue
    raise Overloaded(f"Run {act.run_id} changed {TRIES} times meanwhile.", retry_after_seconds=1)


def _say_who_is_active(connection: Connection, act: Act) -> Run:
    run = runs.find(connection, act.run_id)
    live = (
        run
        and run.dedup_key
        and runs.find_live_by_dedup_key(
            connection, queue=run.queue, workflow=run.workflow, dedup_key=run.dedup_key
        )
    )
    raise RunAlreadyActive(
        f"Run {act.run_id} cannot be retried: "
        + (f"run {live.id} is {live.run_state}" if live else "another run was live")
        + " with its dedupKey.",
        runId=str(live.id) if live else None,
    )
