"""The ledger of events and the results of steps

New tables; nothing that runs knows them.

No foreign keys to the runs: they tripled the cost of an event. An event's key
(runId, seq) makes a forked history impossible, and events go only with their run.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EVENTS = """
CREATE TABLE "runEvents" (
  "runId" uuid NOT NULL,
  seq bigint NOT NULL,
  kind text NOT NULL,
  at timestamptz NOT NULL,
  "fromState" text,
  "toState" text NOT NULL,
  "leaseId" uuid,
  fence bigint,
  executor text,
  "requestId" text,
  actor text,
  detail jsonb NOT NULL,
  CONSTRAINT "runEvents_pkey" PRIMARY KEY ("runId", seq),
  CONSTRAINT "runEvents_seq_positive" CHECK (seq >= 1),
  CONSTRAINT "runEvents_first_is_created" CHECK (
    (seq = 1) = (kind = 'created') AND (kind = 'created') = ("fromState" IS NULL)),
  CONSTRAINT "runEvents_lease_whole" CHECK (
    num_nonnulls("leaseId", fence, executor) IN (0, 3))
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05)
"""

STEPS = """
CREATE TABLE "workflowSteps" (
  "runId" uuid NOT NULL,
  "stepIndex" integer NOT NULL,
  name text NOT NULL,
  type text NOT NULL,
  state text NOT NULL,
  output jsonb,
  error jsonb,
  "startedAt" timestamptz NOT NULL,
  "finishedAt" timestamptz,
  CONSTRAINT "workflowSteps_pkey" PRIMARY KEY ("runId", "stepIndex"),
  CONSTRAINT "workflowSteps_index_positive" CHECK ("stepIndex" >= 0),
  CONSTRAINT "workflowSteps_state_known" CHECK (
    state IN ('started', 'finished', 'failed', 'waiting', 'unknown', 'skipped')),
  CONSTRAINT "workflowSteps_output_finished" CHECK (output IS NULL OR state = 'finished')
)
"""

GUARDS = (
    """
    CREATE TRIGGER "runEvents_append_only" BEFORE UPDATE ON "runEvents"
      FOR EACH ROW EXECUTE FUNCTION dibs_refuse()
    """,
    """
    CREATE TRIGGER "runEvents_only_pruned" BEFORE DELETE ON "runEvents" FOR EACH ROW
      WHEN (current_setting('dibs.pruning', true) IS DISTINCT FROM 'on')
      EXECUTE FUNCTION dibs_refuse()
    """,
    """
    CREATE TRIGGER "runEvents_not_truncated" BEFORE TRUNCATE ON "runEvents"
      FOR EACH STATEMENT EXECUTE FUNCTION dibs_refuse()
    """,
    # One result for each step.
    """
    CREATE TRIGGER "workflowSteps_result_is_final" BEFORE UPDATE ON "workflowSteps" FOR EACH ROW
      WHEN (OLD.state = 'finished') EXECUTE FUNCTION dibs_refuse()
    """,
    """
    CREATE TRIGGER "workflowSteps_only_pruned" BEFORE DELETE ON "workflowSteps" FOR EACH ROW
      WHEN (current_setting('dibs.pruning', true) IS DISTINCT FROM 'on')
      EXECUTE FUNCTION dibs_refuse()
    """,
    """
    CREATE TRIGGER "workflowSteps_not_truncated" BEFORE TRUNCATE ON "workflowSteps"
      FOR EACH STATEMENT EXECUTE FUNCTION dibs_refuse()
    """,
)


def upgrade() -> None:
    op.execute(EVENTS)
    op.execute(STEPS)
    for guard in GUARDS:
        op.execute(guard)


def downgrade() -> None:
    op.execute('DROP TABLE "workflowSteps"')
    op.execute('DROP TABLE "runEvents"')
