"""The life of a run: its states, what ends a lease, and who may what.

Pure names and sets, shared by every layer. The database refuses what
contradicts them (migrations/); the statements in `store/` decide with them.
"""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    SCHEDULED = "scheduled"
    PENDING = "pending"
    LOADING = "loading"
    STARTED = "started"
    WAITING = "waiting"
    FINISHED = "finished"
    FAILED = "failed"
    ABORTED = "aborted"


LEASED = frozenset({RunState.LOADING, RunState.STARTED})
OVER = frozenset({RunState.FINISHED, RunState.FAILED, RunState.ABORTED})


class Ending(StrEnum):
    """How a lease ends without a report."""

    EXPIRED = "expired"
    RELEASED = "released"
    ORPHANED = "orphaned"
    REPLACED = "replaced"
    REVOKED = "revoked"


class WaitingReason(StrEnum):
    INPUT = "input"
    OUTCOME_UNKNOWN = "outcome-unknown"


class Gate(StrEnum):
    """What may stand between a run and its execution; a refused claim by id names one."""

    OVER = "over"
    HELD = "held"
    DUE_TIME = "due-time"
    QUEUE_PAUSED = "queue-paused"
    NEEDS_INPUT = "needs-input"
    NOT_WAITING = "not-waiting"
    OUTCOME_UNKNOWN = "outcome-unknown"
    EXECUTOR_NOT_SERVING = "executor-not-serving"
    LIMIT = "limit"
    NOT_SERVED = "not-served"
    SLOTS_BUSY = "slots-busy"
    POSITION = "position"


class Failure(StrEnum):
    """`code` of a failed run's error."""

    STEP_FAILED = "step-failed"
    FAILED_TOO_OFTEN = "failed-too-often"
    CRASHED_TOO_OFTEN = "crashed-too-often"
    NO_HANDLER = "no-handler"
    RELEASED_TOO_OFTEN = "released-too-often"
    INPUT_TIMED_OUT = "input-timed-out"


# As what a retry goes on that takes the next stepIndex though its step may not have begun.
NEXT_STEP = "next-step"


class ActKind(StrEnum):
    """What the ledger of operators' acts knows: acts on runs, queues, executors, and access."""

    ABORT_RUN = "abort-run"
    RETRY_RUN = "retry-run"
    RESUME_RUN = "resume-run"
    RESOLVE_RUN = "resolve-run"
    ABORT_RUNS = "abort-runs"
    RETRY_RUNS = "retry-runs"
    PAUSE_QUEUE = "pause-queue"
    RESUME_QUEUE = "resume-queue"
    LIMIT_QUEUE = "limit-queue"
    DRAIN_EXECUTOR = "drain-executor"
    QUARANTINE_EXECUTOR = "quarantine-executor"
    RESUME_EXECUTOR = "resume-executor"
    PUT_WORKFLOW = "put-workflow"
    PUT_SCHEDULE = "put-schedule"
    DELETE_SCHEDULE = "delete-schedule"
    RUN_SCHEDULE = "run-schedule"
    CREATE_TOKEN = "create-token"  # noqa: S105 - an act's name
    REVOKE_TOKENS = "revoke-tokens"
    REVOKE_LEASES = "revoke-leases"


class Role(StrEnum):
    CLIENT = "client"
    EXECUTOR = "executor"
    OPERATOR = "operator"
    VIEWER = "viewer"


# A name of a queue, workflow, step, token or executor's instance.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"

# Releases in a row (for a reason that is not `endings.BLAMELESS`) that end a run.
MAX_RELEASES_IN_A_ROW = 20
# The pause after the n-th such release is 2^(n-1) seconds, at most this.
MAX_RELEASE_PAUSE_SECONDS = 60

# An executor that lost leases so many times without a success in between gets no more.
MAX_INCIDENTS = 5

# Back-off of a run whose workflow says nothing: full jitter below
# base x factor^(failures-1), at most the cap.
BACKOFF_SECONDS = 2
BACKOFF_FACTOR = 2
MAX_BACKOFF_SECONDS = 300

# One step of priority moves a run this much in the order of claims.
PRIORITY_SECONDS = 60


# The pattern of a token that is for all queues.
EVERY_QUEUE = "*"


def covers(patterns: frozenset[str] | tuple[str, ...], queue: str) -> bool:
    """Whether a token's queue patterns cover this queue."""
    return any(
        pattern in (EVERY_QUEUE, queue)
        or (pattern.endswith(".*") and queue.startswith(pattern[:-1]))
        for pattern in patterns
    )
