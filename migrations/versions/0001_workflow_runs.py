"""The runs: one row each, guarded by the database itself

The first table; nothing runs before it.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE "workflowRuns" (
  id uuid NOT NULL,
  workflow text NOT NULL,
  "workflowVersion" integer,
  queue text NOT NULL,
  "stepQueue" text NOT NULL,
  "runState" text NOT NULL,
  priority smallint NOT NULL,
  "availableAt" timestamptz,
  "claimKey" timestamptz NOT NULL,
  "stepIndex" integer NOT NULL,
  "stepName" text NOT NULL,
  "stepType" text NOT NULL,
  input jsonb NOT NULL,
  "resumeInput" jsonb,
  output jsonb,
  error jsonb,
  progress jsonb,
  attempt integer NOT NULL,
  failures integer NOT NULL,
  crashes integer NOT NULL,
  releases integer NOT NULL,
  "maxFailures" smallint NOT NULL,
  "maxCrashes" smallint NOT NULL,
  fence bigint NOT NULL,
  "leaseId" uuid,
  "lockedBy" text,
  "lockedSession" uuid,
  "lockedAt" timestamptz,
  "leaseExpiresAt" timestamptz,
  "leaseSeconds" integer,
  "mutatingSince" timestamptz,
  "abortRequestedAt" timestamptz,
  "waitingFor" jsonb,
  "dedupKey" text,
  "idempotencyKey" text,
  "requestHash" bytea,
  traceparent text,
  "createdBy" text NOT NULL,
  "createdAt" timestamptz NOT NULL,
  "startedAt" timestamptz,
  "finishedAt" timestamptz,
  version bigint NOT NULL,
  CONSTRAINT "workflowRuns_pkey" PRIMARY KEY (id),
  CONSTRAINT "workflowRuns_state_known" CHECK ("runState" IN (
    'scheduled', 'pending', 'loading', 'started', 'waiting', 'finished', 'failed', 'aborted')),
  CONSTRAINT "workflowRuns_leased_state" CHECK (
    ("runState" IN ('loading', 'started')) = ("leaseId" IS NOT NULL)),
  CONSTRAINT "workflowRuns_lease_whole" CHECK (
    num_nonnulls("leaseId", "lockedBy", "lockedSession", "lockedAt", "leaseExpiresAt",
                 "leaseSeconds") IN (0, 6)),
  CONSTRAINT "workflowRuns_mutating_leased" CHECK (
    "mutatingSince" IS NULL OR "leaseId" IS NOT NULL),
  CONSTRAINT "workflowRuns_over_finished_at" CHECK (
    ("runState" IN ('finished', 'failed', 'aborted')) = ("finishedAt" IS NOT NULL)),
  CONSTRAINT "workflowRuns_output_finished" CHECK (
    output IS NULL OR "runState" = 'finished'),
  CONSTRAINT "workflowRuns_failed_error" CHECK (
    "runState" <> 'failed' OR error IS NOT NULL),
  CONSTRAINT "workflowRuns_waiting_for" CHECK (
    ("runState" = 'waiting') = ("waitingFor" IS NOT NULL)),
  CONSTRAINT "workflowRuns_due_time" CHECK (
    "availableAt" IS NOT NULL OR "runState" <> 'scheduled'),
  CONSTRAINT "workflowRuns_counters" CHECK (
    "stepIndex" >= 0 AND attempt >= 0 AND failures >= 0 AND crashes >= 0 AND releases >= 0
    AND fence >= 0 AND version >= 1 AND ("leaseSeconds" IS NULL OR "leaseSeconds" > 0)),
  CONSTRAINT "workflowRuns_budgets" CHECK (
    "maxFailures" BETWEEN 1 AND 100 AND "maxCrashes" BETWEEN 1 AND 100),
  CONSTRAINT "workflowRuns_priority" CHECK (priority BETWEEN -100 AND 100)
) WITH (
  fillfactor = 80,
  autovacuum_vacuum_scale_factor = 0.01,
  autovacuum_vacuum_threshold = 500,
  autovacuum_vacuum_insert_scale_factor = 0.05,
  autovacuum_analyze_scale_factor = 0.02,
  autovacuum_vacuum_cost_delay = 0
)
"""

INDEXES = (
    """
    CREATE INDEX "workflowRuns_claimable" ON "workflowRuns" ("stepQueue", "claimKey", id)
      WHERE "runState" = 'pending'
    """,
    """
    CREATE INDEX "workflowRuns_leased" ON "workflowRuns" ("lockedSession")
      WHERE "leaseId" IS NOT NULL
    """,
    """
    CREATE INDEX "workflowRuns_scheduled" ON "workflowRuns" ("availableAt")
      WHERE "runState" = 'scheduled'
    """,
    """
    CREATE INDEX "workflowRuns_waiting" ON "workflowRuns" ("availableAt")
      WHERE "runState" = 'waiting' AND "availableAt" IS NOT NULL
    """,
    """
    CREATE INDEX "workflowRuns_attention" ON "workflowRuns" ("runState", id)
      WHERE "runState" IN ('waiting', 'failed', 'aborted')
    """,
    """
    CREATE UNIQUE INDEX "workflowRuns_dedup" ON "workflowRuns" (queue, workflow, "dedupKey")
      WHERE "dedupKey" IS NOT NULL
        AND "runState" IN ('scheduled', 'pending', 'loading', 'started', 'waiting')
    """,
    """
    CREATE UNIQUE INDEX "workflowRuns_idempotency" ON "workflowRuns" ("createdBy", "idempotencyKey")
      WHERE "idempotencyKey" IS NOT NULL
    """,
)

# A trigger's WHEN holds the test, so that a legal change never enters PL/pgSQL.
# A WHEN that yields NULL does not fire: every comparison is IS DISTINCT FROM or
# over columns that are never null.
REFUSE = """
CREATE FUNCTION dibs_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% of "%" is refused by %', TG_OP, TG_TABLE_NAME, TG_NAME
    USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
END $$
"""

GUARDS = (
    # Finished is for ever; failed and aborted go back to pending only.
    """
    CREATE TRIGGER "workflowRuns_over_is_final" BEFORE UPDATE ON "workflowRuns" FOR EACH ROW
      WHEN (OLD."runState" = 'finished'
         OR (OLD."runState" IN ('failed', 'aborted') AND NEW."runState" <> 'pending'))
      EXECUTE FUNCTION dibs_refuse()
    """,
    """
    CREATE TRIGGER "workflowRuns_transition_legal" BEFORE UPDATE ON "workflowRuns" FOR EACH ROW
      WHEN (NEW."runState" <> OLD."runState" AND NOT CASE OLD."runState"
        WHEN 'scheduled' THEN NEW."runState" IN ('pending', 'aborted')
        WHEN 'pending' THEN NEW."runState" IN ('loading', 'aborted')
        WHEN 'loading' THEN NEW."runState" IN
          ('started', 'pending', 'scheduled', 'waiting', 'finished', 'failed', 'aborted')
        WHEN 'started' THEN NEW."runState" IN
          ('pending', 'scheduled', 'waiting', 'finished', 'failed', 'aborted')
        WHEN 'waiting' THEN NEW."runState" IN
          ('pending', 'loading', 'finished', 'failed', 'aborted')
        WHEN 'failed' THEN NEW."runState" = 'pending'
        WHEN 'aborted' THEN NEW."runState" = 'pending'
        ELSE false END)
      EXECUTE FUNCTION dibs_refuse()
    """,
    # A lease ends before the next begins.
    """
    CREATE TRIGGER "workflowRuns_lease_not_swapped" BEFORE UPDATE ON "workflowRuns" FOR EACH ROW
      WHEN (OLD."leaseId" IS NOT NULL AND NEW."leaseId" IS NOT NULL
        AND (NEW."leaseId" IS DISTINCT FROM OLD."leaseId"
          OR NEW.fence IS DISTINCT FROM OLD.fence
          OR NEW."lockedBy" IS DISTINCT FROM OLD."lockedBy"
          OR NEW."lockedSession" IS DISTINCT FROM OLD."lockedSession"
          OR NEW."lockedAt" IS DISTINCT FROM OLD."lockedAt"))
      EXECUTE FUNCTION dibs_refuse()
    """,
    """
    CREATE TRIGGER "workflowRuns_fence_grows" BEFORE UPDATE ON "workflowRuns" FOR EACH ROW
      WHEN (NEW.fence < OLD.fence
         OR (OLD."leaseId" IS NULL AND NEW."leaseId" IS NOT NULL AND NEW.fence <= OLD.fence))
      EXECUTE FUNCTION dibs_refuse()
    """,
    # Every change of state is an event; a run's identity never changes.
    """
    CREATE TRIGGER "workflowRuns_version_grows" BEFORE UPDATE ON "workflowRuns" FOR EACH ROW
      WHEN (NEW.version < OLD.version
         OR (NEW."runState" <> OLD."runState" AND NEW.version <= OLD.version))
      EXECUTE FUNCTION dibs_refuse()
    """,
    """
    CREATE TRIGGER "workflowRuns_identity_fixed" BEFORE UPDATE ON "workflowRuns" FOR EACH ROW
      WHEN (NEW.id <> OLD.id OR NEW.queue <> OLD.queue OR NEW.workflow <> OLD.workflow
         OR NEW."createdBy" <> OLD."createdBy" OR NEW."createdAt" <> OLD."createdAt"
         OR NEW."idempotencyKey" IS DISTINCT FROM OLD."idempotencyKey"
         OR NEW."requestHash" IS DISTINCT FROM OLD."requestHash")
      EXECUTE FUNCTION dibs_refuse()
    """,
    # Runs go only by dibs_prune, and only when they are over.
    """
    CREATE TRIGGER "workflowRuns_only_pruned" BEFORE DELETE ON "workflowRuns" FOR EACH ROW
      WHEN (current_setting('dibs.pruning', true) IS DISTINCT FROM 'on'
         OR OLD."runState" NOT IN ('finished', 'failed', 'aborted'))
      EXECUTE FUNCTION dibs_refuse()
    """,
    """
    CREATE TRIGGER "workflowRuns_not_truncated" BEFORE TRUNCATE ON "workflowRuns"
      FOR EACH STATEMENT EXECUTE FUNCTION dibs_refuse()
    """,
)


def upgrade() -> None:
    op.execute(TABLE)
    for index in INDEXES:
        op.execute(index)
    op.execute(REFUSE)
    for guard in GUARDS:
        op.execute(guard)


def downgrade() -> None:
    op.execute('DROP TABLE "workflowRuns"')
    op.execute("DROP FUNCTION dibs_refuse()")
