"""Acts of clients and operators: each once, and a clear word when it cannot be.

With a key an act can be repeated: the repeat changes nothing and gets the run
as it is now; another body under the same key is refused. Without one it is a
compare-and-set on the state; only when its own COMMIT was not answered does it
look for the event that it may have caused.

What changed a run is noted among the operators' acts too, in the same transaction;
an act that is part of a larger one is not: that has a line of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from orchestrator.desk.arrivals import arrivals
from orchestrator.desk.expected_input import require_expected
from orchestrator.desk.visibility import visible_run
from orchestrator.errors import (
    IdempotencyKeyReused,
    Overloaded,
    RunAlreadyActive,
    RunOver,
    StateConflict,
)
from orchestrator.lifecycle import OVER, ActKind, RunState, WaitingReason
from orchestrator.store import acts, operator_acts, runs
from orchestrator.store.activity import Counted
from orchestrator.store.acts import Act
from orchestrator.store.engine import Database
from orchestrator.store.operator_acts import OperatorAct
from orchestrator.store.records import Run
from orchestrator.store.replication import vouch
from orchestrator.store.tally import moved
from orchestrator.store.transaction import constraint_of, transact

Change = Callable[[Connection, Act], Run | None]
Beside = Callable[[Connection, bool], None]
"""
What the larger act, of which this is a part, writes in its transaction; is told whether
the run was changed.
"""

TRIES = 3


class _TryAgain(Exception):
    """The state changed between the act and the look that words the refusal."""


def abort(
    database: Database,
    act: Act,
    queue_patterns: tuple[str, ...],
    *,
    beside: Beside | None = None,
) -> Run:
    """
    Abort a run; a held one goes on until its holder has heard of it.

    Raises:
        RunNotFound, RunOver, IdempotencyKeyReused.
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

    return _act(
        database,
        act,
        queue_patterns,
        acts.abort,
        ("aborted", "abort-requested"),
        refuse,
        line=_line(act, ActKind.ABORT_RUN, reason=act.reason),
        beside=beside,
    )


def retry(
    database: Database,
    act: Act,
    queue_patterns: tuple[str, ...],
    *,
    beside: Beside | None = None,
) -> Run:
    """
    Run a failed or aborted run again from the step that failed.

    Raises:
        RunNotFound, IdempotencyKeyReused.
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
        return _act(
            database,
            act,
            queue_patterns,
            acts.retry,
            ("retried",),
            refuse,
            line=_line(act, ActKind.RETRY_RUN),
            beside=beside,
        )
    except IntegrityError as error:
        if constraint_of(error) != "workflowRuns_dedup":
            raise
    return transact(database.work, lambda connection: _say_who_is_active(connection, act))


def resume(
    database: Database,
    act: Act,
    queue_patterns: tuple[str, ...],
    *,
    value: Any,
    input_json: str,
    seen_version: int | None = None,
) -> Run:
    """
    Give a waiting run the input it waits for.

    Args:
        value: The input, to be checked against the run's `waitingFor` schema.
        input_json: The same as JSON text.
        seen_version: The run's version when it was asked for this input, if that is known:
            what it waits for at another one is another question.

    Raises:
        ValidationFailed: The input is not what the run waits for.
        RunNotFound, RunOver, IdempotencyKeyReused.
        StateConflict: It does not wait for input.
    """

    def refuse(run: Run) -> Run:
        if run.run_state in OVER:
            raise RunOver(run.id, run.run_state)
        # It may wait again by now, for something else than this input answers.
        raise StateConflict(run.id, run.run_state, "resume", "it does not wait for this input.")

    def change(connection: Connection, act: Act) -> Run | None:
        run = visible_run(connection, act.run_id, queue_patterns)
        if acts.done_by_key(connection, act) is not None:
            return None
        if seen_version not in (None, run.version):
            return None
        require_expected(run, value)
        return acts.resume(connection, act, input_json=input_json, seen_version=run.version)

    return _act(
        database,
        act,
        queue_patterns,
        change,
        ("resumed",),
        refuse,
        line=_line(act, ActKind.RESUME_RUN),
    )


def resolve(
    database: Database,
    act: Act,
    queue_patterns: tuple[str, ...],
    *,
    as_: str,
    output_json: str,
    next_step: str | None,
    seen_version: int | None = None,
) -> Run:
    """
    Say what became of a mutating step whose outcome is unknown.

    Args:
        as_: done (with this output), run-again (under a new idempotency key) or abort.
        next_step: With done: the step to go on with, when several are offered.
        seen_version: The run's version when somebody was asked what became of it, if that is
            known: at another one another step is meant, or the same once more.

    Raises:
        RunNotFound, RunOver, IdempotencyKeyReused.
        StateConflict: Its outcome is not unknown, is asked for anew by now, or its step does
            not offer that next one.
    """
    changes: dict[str, Change] = {
        "done": lambda connection, act: acts.resolve_done(
            connection,
            act,
            output_json=output_json,
            next_step=next_step,
            seen_version=seen_version,
        ),
        "run-again": partial(acts.resolve_run_again, seen_version=seen_version),
        "abort": partial(acts.resolve_abort, seen_version=seen_version),
    }

    def refuse(run: Run) -> Run:
        if run.run_state in OVER:
            raise RunOver(run.id, run.run_state)
        is_unknown = run.waiting_reason == WaitingReason.OUTCOME_UNKNOWN
        if is_unknown and seen_version not in (None, run.version):
            raise StateConflict(
                run.id, run.run_state, "resolve", "this was said of what it waited for before."
            )
        if is_unknown and as_ == "done":
            raise StateConflict(
                run.id, run.run_state, "resolve", "name one of the next steps that its step offers."
            )
        if is_unknown:
            raise _TryAgain
        raise StateConflict(run.id, run.run_state, "resolve", "its outcome is not unknown.")

    line = _line(act, ActKind.RESOLVE_RUN, **{"as": as_, "next": next_step})
    return _act(database, act, queue_patterns, changes[as_], ("resolved",), refuse, line=line)


def _act(
    database: Database,
    act: Act,
    queue_patterns: tuple[str, ...],
    change: Change,
    kinds: tuple[str, ...],
    refuse: Callable[[Run], Run],
    *,
    line: OperatorAct,
    beside: Beside | None = None,
) -> Run:
    def work(connection: Connection) -> tuple[Run, Mapping[str, int], bool]:
        visible_run(connection, act.run_id, queue_patterns)
        changed = change(connection, act)
        run = unchanged(connection) if changed is None else changed
        if beside is not None:
            beside(connection, changed is not None)
        elif changed is not None:
            operator_acts.note(connection, replace(line, queue=run.queue))
        return run, arrivals(connection, [run]), changed is not None

    def unchanged(connection: Connection) -> Run:
        run = visible_run(connection, act.run_id, queue_patterns)
        done = acts.done_by_key(connection, act)
        if done is None:
            return refuse(run)
        vouch(connection)
        if done.kind not in kinds:
            raise IdempotencyKeyReused(
                f"The Idempotency-Key belongs to another act on run {run.id}: {done.kind}.",
                runId=str(run.id),
            )
        if done.body_hash not in (None, act.body_hash):
            raise IdempotencyKeyReused(
                f"The Idempotency-Key belongs to another body of this act on run {run.id}.",
                runId=str(run.id),
            )
        return run

    def look_up(connection: Connection) -> tuple[Run, Mapping[str, int], bool]:
        run = visible_run(connection, act.run_id, queue_patterns)
        if acts.kind_done_lately(connection, act) not in kinds:
            return work(connection)
        run = visible_run(connection, run.id, queue_patterns)
        return run, arrivals(connection, [run]), True

    for _ in range(TRIES):
        try:
            run, arrived, has_changed = transact(database.work, work, look_up=look_up)
        except _TryAgain:
            continue
        if has_changed:
            retried = Counted.RETRIED if line.kind == ActKind.RETRY_RUN else None
            database.tally.add(moved([run], retried))
        database.arrived(arrived)
        return run
    raise Overloaded(f"Run {act.run_id} changed {TRIES} times meanwhile.", retry_after_seconds=1)


def _line(act: Act, kind: ActKind, **detail: str | None) -> OperatorAct:
    """What is noted of an act; its queue is the run's."""
    return OperatorAct(
        id=uuid7(),
        actor=act.actor,
        kind=kind,
        subject=str(act.run_id),
        key_id=act.key_id,
        request_id=act.request_id,
        detail=detail,
    )


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
