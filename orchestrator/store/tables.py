"""The tables, and the one mapping from their camelCase columns to Python's names.

What each column means, in which unit, and who changes it. The migrations make
the tables, their constraints, indexes and triggers; a test compares the two.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    TIMESTAMP,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

metadata = MetaData()

Instant = TIMESTAMP(timezone=True)


def _column(
    name: str,
    key: str,
    type_: type[TypeEngine[Any]] | TypeEngine[Any],
    doc: str,
    *,
    nullable: bool = False,
) -> Column[Any]:
    return Column(name, type_, key=key, nullable=nullable, doc=doc)


workflow_runs = Table(
    "workflowRuns",
    metadata,
    _column("id", "id", Uuid, "UUIDv7 made by the orchestrator"),
    _column(
        "workflow",
        "workflow",
        Text,
        "name of the workflow; without a definition also the step type",
    ),
    _column(
        "workflowVersion",
        "workflow_version",
        Integer,
        "the definition's version that the run is pinned to",
        nullable=True,
    ),
    _column("queue", "queue", Text, "where the run belongs, for life: visibility and dedup"),
    _column("stepQueue", "step_queue", Text, "where its current step is claimed"),
    _column("runState", "run_state", Text, "see design: the life of a run"),
    _column(
        "priority", "priority", SmallInteger, "-100..100; one step is 60 s in the order of claims"
    ),
    _column(
        "availableAt",
        "available_at",
        Instant,
        "due time; while waiting: when the wait is over, null for never",
        nullable=True,
    ),
    _column(
        "claimKey",
        "claim_key",
        Instant,
        "claims go in this order, then by id; set when a run becomes pending; infinity: gated",
    ),
    _column("stepIndex", "step_index", Integer, "number of the current step, from 0 as executed"),
    _column("stepName", "step_name", Text, "name of the current step"),
    _column("stepType", "step_type", Text, "which handler executes the current step"),
    _column("input", "input", JSONB, "the run's input, as created"),
    _column(
        "resumeInput",
        "resume_input",
        JSONB,
        "input that resumed the current step; null when it was not resumed",
        nullable=True,
    ),
    _column(
        "output", "output", JSONB, "output of the last step; only when finished", nullable=True
    ),
    _column(
        "error",
        "error",
        JSONB,
        "{code, message, stepIndex}; only when failed or after a failure",
        nullable=True,
    ),
    _column(
        "progress", "progress", JSONB, "what the holder last said of its progress", nullable=True
    ),
    _column("attempt", "attempt", Integer, "leases so far"),
    _column("failures", "failures", Integer, "errors reported of the current step"),
    _column("crashes", "crashes", Integer, "leases of the run that expired"),
    _column("releases", "releases", Integer, "releases in a row, other than draining"),
    _column(
        "maxFailures", "max_failures", SmallInteger, "the failure with this number fails the run"
    ),
    _column("maxCrashes", "max_crashes", SmallInteger, "the crash with this number fails the run"),
    _column(
        "fence", "fence", BigInteger, "grows with every lease; at least the database's clock in ms"
    ),
    _column(
        "leaseId",
        "lease_id",
        Uuid,
        "random; whoever knows it and owns it holds the run",
        nullable=True,
    ),
    _column(
        "lockedBy",
        "locked_by",
        Text,
        "the holder's full name: <token's name>[:<instance>]",
        nullable=True,
    ),
    _column("lockedSession", "locked_session", Uuid, "the holder's process start", nullable=True),
    _column("lockedAt", "locked_at", Instant, "when the lease was granted", nullable=True),
    _column(
        "leaseExpiresAt",
        "lease_expires_at",
        Instant,
        "from then on the keeper may take the lease away",
        nullable=True,
    ),
    _column("leaseSeconds", "lease_seconds", Integer, "length of one renewal", nullable=True),
    _column(
        "mutatingSince",
        "mutating_since",
        Instant,
        "the current step's write-ahead: it may have acted",
        nullable=True,
    ),
    _column(
        "abortRequestedAt",
        "abort_requested_at",
        Instant,
        "when an abort of the leased run was asked for",
        nullable=True,
    ),
    _column(
        "waitingFor",
        "waiting_for",
        JSONB,
        "{reason, schema, timeoutSeconds, onTimeout}; only while waiting",
        nullable=True,
    ),
    _column(
        "dedupKey",
        "dedup_key",
        Text,
        "one live run for each (queue, workflow, dedupKey)",
        nullable=True,
    ),
    _column(
        "concurrencyKey",
        "concurrency_key",
        Text,
        "so many runs of each (queue, concurrencyKey) at once as the queue allows",
        nullable=True,
    ),
    _column(
        "gatedClaimKey",
        "gated_claim_key",
        Instant,
        "its claimKey once it is let in; only while it is pending and its key is full",
        nullable=True,
    ),
    _column(
        "idempotencyKey",
        "idempotency_key",
        Text,
        "one run for each (createdBy, idempotencyKey)",
        nullable=True,
    ),
    _column(
        "requestHash",
        "request_hash",
        LargeBinary,
        "SHA-256 of the create's body, with an idempotencyKey",
        nullable=True,
    ),
    _column("traceparent", "traceparent", Text, "W3C trace context of the create", nullable=True),
    _column("createdBy", "created_by", Text, "name of the token that created the run"),
    _column("createdAt", "created_at", Instant, "when the run was created"),
    _column(
        "startedAt",
        "started_at",
        Instant,
        "when a holder first confirmed that it executes",
        nullable=True,
    ),
    _column("finishedAt", "finished_at", Instant, "when the run was over", nullable=True),
    _column("version", "version", BigInteger, "number of the run's last event"),
    PrimaryKeyConstraint("id", name="workflowRuns_pkey"),
)
Index(
    "workflowRuns_claimable",
    workflow_runs.c.step_queue,
    workflow_runs.c.claim_key,
    workflow_runs.c.id,
    postgresql_where=text("\"runState\" = 'pending'"),
)
Index(
    "workflowRuns_leased",
    workflow_runs.c.locked_session,
    postgresql_where=text('"leaseId" IS NOT NULL'),
)
Index(
    "workflowRuns_scheduled",
    workflow_runs.c.available_at,
    postgresql_where=text("\"runState\" = 'scheduled'"),
)
Index(
    "workflowRuns_waiting",
    workflow_runs.c.available_at,
    postgresql_where=text('"runState" = \'waiting\' AND "availableAt" IS NOT NULL'),
)
Index(
    "workflowRuns_attention",
    workflow_runs.c.run_state,
    workflow_runs.c.id,
    postgresql_where=text("\"runState\" IN ('waiting', 'failed', 'aborted')"),
)
Index(
    "workflowRuns_resting",
    workflow_runs.c.run_state,
    workflow_runs.c.step_queue,
    postgresql_where=text("\"runState\" IN ('scheduled', 'waiting', 'failed', 'aborted')"),
)
Index("workflowRuns_queue", workflow_runs.c.queue, workflow_runs.c.id)
Index(
    "workflowRuns_dedup",
    workflow_runs.c.queue,
    workflow_runs.c.workflow,
    workflow_runs.c.dedup_key,
    unique=True,
    postgresql_where=text(
        '"dedupKey" IS NOT NULL AND "runState" IN '
        "('scheduled', 'pending', 'loading', 'started', 'waiting')"
    ),
)
Index(
    "workflowRuns_places",
    workflow_runs.c.queue,
    workflow_runs.c.concurrency_key,
    workflow_runs.c.gated_claim_key.nulls_first(),
    workflow_runs.c.id,
    postgresql_where=text(
        "\"concurrencyKey\" IS NOT NULL AND \"runState\" IN ('pending', 'loading', 'started')"
    ),
)
Index(
    "workflowRuns_idempotency",
    workflow_runs.c.created_by,
    workflow_runs.c.idempotency_key,
    unique=True,
    postgresql_where=text('"idempotencyKey" IS NOT NULL'),
)

workflow_steps = Table(
    "workflowSteps",
    metadata,
    _column("runId", "run_id", Uuid, "the run"),
    _column("stepIndex", "step_index", Integer, "number of the step, from 0 as executed"),
    _column("name", "name", Text, "name in the definition"),
    _column("type", "type", Text, "which handler executes it"),
    _column("state", "state", Text, "started, finished, failed, waiting, unknown or skipped"),
    _column("output", "output", JSONB, "what the handler returned", nullable=True),
    _column("error", "error", JSONB, "{code, message} of its last failure", nullable=True),
    _column("startedAt", "started_at", Instant, "when its first lease began"),
    _column("finishedAt", "finished_at", Instant, "when its outcome was stored", nullable=True),
    PrimaryKeyConstraint("run_id", "step_index", name="workflowSteps_pkey"),
)

run_events = Table(
    "runEvents",
    metadata,
    _column("runId", "run_id", Uuid, "the run"),
    _column("seq", "seq", BigInteger, "1, 2, 3 … without a gap; the run's version after the event"),
    _column("kind", "kind", Text, "what happened"),
    _column("at", "at", Instant, "the database's clock"),
    _column("fromState", "from_state", Text, "state before; null for created", nullable=True),
    _column("toState", "to_state", Text, "state after"),
    _column("leaseId", "lease_id", Uuid, "the lease it happened under", nullable=True),
    _column("fence", "fence", BigInteger, "that lease's fence", nullable=True),
    _column("executor", "executor", Text, "that lease's holder", nullable=True),
    _column("requestId", "request_id", Text, "the request that caused it", nullable=True),
    _column(
        "actor",
        "actor",
        Text,
        "name of the token that caused it; null for the keeper",
        nullable=True,
    ),
    _column("detail", "detail", JSONB, "a report's holds stepIndex and the outcome's hash"),
    PrimaryKeyConstraint("run_id", "seq", name="runEvents_pkey"),
)

claim_requests = Table(
    "claimRequests",
    metadata,
    _column("tokenName", "token_name", Text, "who claimed"),
    _column("requestId", "request_id", Uuid, "the claim's own id, the same over its repeats"),
    _column("session", "session", Uuid, "the process start that asked"),
    _column("bodyHash", "body_hash", LargeBinary, "SHA-256 of the body: another body is refused"),
    _column("runIds", "run_ids", ARRAY(Uuid), "the runs it got", nullable=True),
    _column("leaseIds", "lease_ids", ARRAY(Uuid), "their leases, in the same order", nullable=True),
    _column("at", "at", Instant, "when it was first asked; kept for a day"),
    PrimaryKeyConstraint("token_name", "request_id", name="claimRequests_pkey"),
)
Index("claimRequests_at", claim_requests.c.at)

bulk_acts = Table(
    "bulkActs",
    metadata,
    _column("tokenName", "token_name", Text, "who acts"),
    _column("idempotencyKey", "idempotency_key", Text, "the act's own key, the same when repeated"),
    _column("bodyHash", "body_hash", LargeBinary, "SHA-256 of the body: another body is refused"),
    _column("at", "at", Instant, "when it was first asked; kept for a week"),
    _column("before", "before", Uuid, "every matching run from this id on has been passed"),
    _column("isOver", "is_over", Boolean, "all of them have been"),
    _column("matched", "matched", Integer, "runs passed"),
    _column("changed", "changed", Integer, "of them, those that this act changed"),
    _column("refused", "refused", Integer, "of them, those whose state did not allow it"),
    PrimaryKeyConstraint("token_name", "idempotency_key", name="bulkActs_pkey"),
    CheckConstraint(
        "changed >= 0 AND refused >= 0 AND changed + refused <= matched", name="bulkActs_counters"
    ),
)

executors = Table(
    "executors",
    metadata,
    _column("fullName", "full_name", Text, "<token's name>[:<instance>]"),
    _column("session", "session", Uuid, "the process start"),
    _column("tokenName", "token_name", Text, "the token it speaks with"),
    _column("version", "version", Text, "what it says of its own version", nullable=True),
    _column("slots", "slots", Integer, "how many runs it executes at once", nullable=True),
    _column("queues", "queues", ARRAY(Text), "the queues it polls"),
    _column("stepTypes", "step_types", ARRAY(Text), "the step types it has handlers for"),
    _column("labels", "labels", JSONB, "what it says of itself"),
    _column("url", "url", Text, "its own HTTP face; shown, never called", nullable=True),
    _column("state", "state", Text, "active, draining or quarantined"),
    _column("reason", "reason", Text, "why it is draining or quarantined", nullable=True),
    _column("registeredAt", "registered_at", Instant, "when this session registered"),
    _column("seenAt", "seen_at", Instant, "its last sign of life"),
    PrimaryKeyConstraint("full_name", "session", name="executors_pkey"),
)

lost_sessions = Table(
    "lostSessions",
    metadata,
    _column("session", "session", Uuid, "a process start that lost a lease"),
    _column("at", "at", Instant, "when; the version before writes it, nobody reads it any more"),
    PrimaryKeyConstraint("session", name="lostSessions_pkey"),
)

incidents = Table(
    "incidents",
    metadata,
    _column("executor", "executor", Text, "full name of one that lost leases"),
    _column("session", "session", Uuid, "in this start"),
    _column(
        "number",
        "number",
        Integer,
        "times that it did without a success in between; what one tick takes is one",
    ),
    _column("at", "at", Instant, "when it last did; what it asked before gets nothing"),
    PrimaryKeyConstraint("executor", "session", name="incidents_pkey"),
)

queues = Table(
    "queues",
    metadata,
    _column("name", "name", Text, "the label"),
    _column("paused", "paused", Boolean, "nothing is claimed from a paused queue"),
    _column(
        "maxConcurrency",
        "max_concurrency",
        Integer,
        "leases at once of runs claimed from it; null for no limit",
        nullable=True,
    ),
    _column(
        "ratePerSecond",
        "rate_per_second",
        Integer,
        "leases granted in any one second; null for no limit",
        nullable=True,
    ),
    _column(
        "maxConcurrencyPerKey",
        "max_concurrency_per_key",
        Integer,
        "runs of one concurrencyKey at once; null for one",
        nullable=True,
    ),
    _column(
        "leasedAtMost",
        "leased_at_most",
        Integer,
        "there are no more leases than this; claims raise it; null: to be counted",
        nullable=True,
    ),
    _column(
        "grantSlots",
        "grant_slots",
        ARRAY(BigInteger),
        "the twentieths of a second, since 1970, in which leases were granted lately",
    ),
    _column("grantCounts", "grant_counts", ARRAY(Integer), "how many in each, in the same order"),
    _column(
        "changedBy", "changed_by", Text, "name of the token that last changed it", nullable=True
    ),
    _column("changedAt", "changed_at", Instant, "when"),
    PrimaryKeyConstraint("name", name="queues_pkey"),
)

operator_acts = Table(
    "operatorActs",
    metadata,
    _column("id", "id", Uuid, "UUIDv7, one for each request"),
    _column("at", "at", Instant, "when, by the database's clock"),
    _column("actor", "actor", Text, "the token's name, or cli:<user>"),
    _column("keyId", "key_id", Text, "the token's key id; null on the command line", nullable=True),
    _column("requestId", "request_id", Text, "of which request; null there too", nullable=True),
    _column("kind", "kind", Text, "what was done, see lifecycle.ActKind"),
    _column("subject", "subject", Text, "to what: a run's id, or a name"),
    _column(
        "queue", "queue", Text, "of which queue; null: seen by who sees every queue", nullable=True
    ),
    _column("detail", "detail", JSONB, "what was asked for; no payload, no secret"),
    PrimaryKeyConstraint("id", name="operatorActs_pkey"),
)

access_tokens = Table(
    "accessTokens",
    metadata,
    _column("keyId", "key_id", Text, "public half; looked up by it"),
    _column("name", "name", Text, "whose token; never given to another owner"),
    _column("role", "role", Text, "client, executor, operator or viewer"),
    _column(
        "secretHash", "secret_hash", LargeBinary, "SHA-256 of the secret; the secret is nowhere"
    ),
    _column("queues", "queues", ARRAY(Text), "exact names, prefixes like billing.*, or *"),
    _column("createdAt", "created_at", Instant, "when it was made"),
    _column("expiresAt", "expires_at", Instant, "null for never", nullable=True),
    _column("revokedAt", "revoked_at", Instant, "when it was revoked", nullable=True),
    _column(
        "development",
        "development",
        Boolean,
        "made by `dibs dev`: good on a loopback address only",
    ),
    _column(
        "compatHash",
        "compat_hash",
        LargeBinary,
        "SHA-256 of its secret at the adapter; null: it has none, and is no good there",
        nullable=True,
    ),
    PrimaryKeyConstraint("key_id", name="accessTokens_pkey"),
)
Index("accessTokens_name", access_tokens.c.name)

keeper = Table(
    "keeper",
    metadata,
    _column("id", "id", Boolean, "always true: there is one row"),
    _column("lastTickAt", "last_tick_at", Instant, "when a keeper last ticked", nullable=True),
    _column(
        "amnestySince",
        "amnesty_since",
        Instant,
        "when ticks began again after a gap",
        nullable=True,
    ),
    _column("prunedAt", "pruned_at", Instant, "when over runs were last pruned", nullable=True),
    _column(
        "prunedThrough",
        "pruned_through",
        Uuid,
        "how far a pass over the old runs has come; null between passes",
        nullable=True,
    ),
    _column(
        "pruneRestSeconds",
        "prune_rest_seconds",
        Double,
        "how long nothing is pruned after prunedAt",
    ),
    PrimaryKeyConstraint("id", name="keeper_pkey"),
    CheckConstraint("id", name="keeper_one_row"),
)


workflows = Table(
    "workflows",
    metadata,
    _column("name", "name", Text, "the workflow"),
    _column("version", "version", Integer, "1, 2, 3 …; a run is pinned to one"),
    _column("definition", "definition", JSONB, "as it was put"),
    _column("firstStep", "first_step", Text, "where a run begins"),
    _column("steps", "steps", JSONB, "the steps by name, defaults filled in"),
    _column(
        "contentHash", "content_hash", LargeBinary, "SHA-256: the same content is the same version"
    ),
    _column("createdBy", "created_by", Text, "name of the token that put it"),
    _column("createdAt", "created_at", Instant, "when"),
    PrimaryKeyConstraint("name", "version", name="workflows_pkey"),
    UniqueConstraint("name", "content_hash", name="workflows_content_once"),
)

current_workflows = Table(
    "currentWorkflows",
    metadata,
    _column("name", "name", Text, "the workflow"),
    _column("version", "version", Integer, "what new runs are pinned to"),
    _column("changedBy", "changed_by", Text, "name of the token that chose it"),
    _column("changedAt", "changed_at", Instant, "when"),
    PrimaryKeyConstraint("name", name="currentWorkflows_pkey"),
)

schedules = Table(
    "schedules",
    metadata,
    _column("name", "name", Text, "the schedule"),
    _column("workflow", "workflow", Text, "what to run"),
    _column("cron", "cron", Text, "when, as cron has it"),
    _column("timeZone", "time_zone", Text, "an IANA name; the cron expression is local time there"),
    _column("input", "input", JSONB, "each run's input"),
    _column("queue", "queue", Text, "where the runs go"),
    _column("overlap", "overlap", Text, "skip: not while the last one lives; queue: in any case"),
    _column("paused", "paused", Boolean, "it does not fire"),
    _column("nextAt", "next_at", Instant, "when it fires next; null for never", nullable=True),
    _column(
        "lastAt",
        "last_at",
        Instant,
        "the due time of its last firing, or when somebody last ran it beside",
        nullable=True,
    ),
    _column("lastRunId", "last_run_id", Uuid, "the last run that was created", nullable=True),
    _column("changedBy", "changed_by", Text, "name of the token that last changed it"),
    _column("changedAt", "changed_at", Instant, "when"),
    PrimaryKeyConstraint("name", name="schedules_pkey"),
)
Index("schedules_due", schedules.c.next_at, postgresql_where=text("NOT paused"))


activity = Table(
    "activity",
    metadata,
    _column("spanSeconds", "span_seconds", Integer, "a minute, an hour or a day"),
    _column("beganAt", "began_at", Instant, "when that began"),
    _column("queue", "queue", Text, "where it happened"),
    *(
        _column(name, name, BigInteger, doc)
        for name, doc in (
            ("created", "runs created"),
            ("claimed", "leases granted"),
            ("replayed", "claims and reports that got what they had got before"),
            ("refused", "claims by id, reports, renewals and step starts that were refused"),
            ("reported", "outcomes of steps stored"),
            ("retried", "runs in back-off after an error, and those that somebody had retried"),
            ("released", "leases given back"),
            ("expired", "leases taken back"),
            ("finished", "runs that finished"),
            ("failed", "runs that failed"),
            ("aborted", "runs that were aborted"),
        )
    ),
    _column("mostPending", "most_pending", BigInteger, "most runs that were seen pending at once"),
    _column(
        "oldestPendingSeconds",
        "oldest_pending_seconds",
        BigInteger,
        "for how long the oldest was seen due at most",
    ),
    PrimaryKeyConstraint("span_seconds", "began_at", "queue", name="activity_pkey"),
)

refused_claims = Table(
    "refusedClaims",
    metadata,
    _column("runId", "run_id", Uuid, "the run"),
    _column("number", "number", BigInteger, "how often somebody was refused it, or an act on it"),
    _column("last", "last", JSONB, "the last five: [{at, code, executor, onBehalfOf}]"),
    PrimaryKeyConstraint("run_id", name="refusedClaims_pkey"),
)

compat_runs = Table(
    "compatRuns",
    metadata,
    Column(
        "number",
        BigInteger,
        Identity(always=True),
        key="number",
        doc="what the adapter's executors call the run; an exact integer in any language",
    ),
    _column("runId", "run_id", Uuid, "the run"),
    _column("leaseId", "lease_id", Uuid, "the lease that one of them was last handed it under"),
    _column("stepIndex", "step_index", Integer, "at which step"),
    _column("keyId", "key_id", Text, "with which token"),
    _column("address", "address", Text, "and at which address"),
    _column("polled", "polled", Boolean, "by a poll; else it was asked for by its number"),
    _column(
        "refusedAt",
        "refused_at",
        Instant,
        "when the same executor was refused the step under an older lease, if it was",
        nullable=True,
    ),
    PrimaryKeyConstraint("number", name="compatRuns_pkey"),
    UniqueConstraint("run_id", name="compatRuns_run_once"),
    CheckConstraint("number BETWEEN 1 AND 9007199254740991", name="compatRuns_number_exact"),
)

compat_executors = Table(
    "compatExecutors",
    metadata,
    _column("tokenName", "token_name", Text, "an executor of the adapter"),
    _column("session", "session", Uuid, "the start of it that claims"),
    _column("address", "address", Text, "where it was last seen"),
    _column("seenAt", "seen_at", Instant, "when"),
    _column(
        "otherAddress",
        "other_address",
        Text,
        "where its secret was seen meanwhile, and refused",
        nullable=True,
    ),
    _column("otherAt", "other_at", Instant, "when it was last", nullable=True),
    PrimaryKeyConstraint("token_name", name="compatExecutors_pkey"),
)


def columns(table: Table, alias: str, *, but: frozenset[str] = frozenset()) -> str:
    """
    A select list that gives each column its Python name.

    Example:
        `columns(queues, "q")` → `q."name" AS name, q."paused" AS paused, …`
    """
    return ", ".join(
        f'{alias}."{column.name}" AS {column.key}'
        for column in table.columns
        if column.key not in but
    )
