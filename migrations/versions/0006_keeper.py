"""The keeper's row, and the one way that runs are deleted

A new table and a function; nothing that runs knows them.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The guards let a delete through only while dibs.pruning is on. It is set in the
# body: as a setting of the function only a superuser could write it down.
# Ids are UUIDv7: a run that was over before :before was created before it, so
# the walk along the primary key stops there. A day of slack covers an
# orchestrator's clock, which made the id.
PRUNE = """
CREATE FUNCTION dibs_prune(before timestamptz, max_runs integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  newest uuid := (lpad(to_hex((extract(epoch FROM before + interval '1 day') * 1000)::bigint),
                       12, '0') || repeat('0', 20))::uuid;
  doomed uuid[];
BEGIN
  SELECT array_agg(id) INTO doomed FROM (
    SELECT id FROM "workflowRuns"
     WHERE id < newest AND "runState" IN ('finished', 'failed', 'aborted')
       AND "finishedAt" < before
     ORDER BY id LIMIT max_runs FOR UPDATE SKIP LOCKED) over_runs;
  PERFORM set_config('dibs.pruning', 'on', true);
  DELETE FROM "workflowSteps" WHERE "runId" = ANY (doomed);
  DELETE FROM "runEvents" WHERE "runId" = ANY (doomed);
  DELETE FROM "workflowRuns" WHERE id = ANY (doomed);
  PERFORM set_config('dibs.pruning', 'off', true);
  RETURN coalesce(cardinality(doomed), 0);
END $$
"""

# Whoever calls a SECURITY DEFINER function must not choose where it looks.
PIN_SEARCH_PATH = """
DO $$ BEGIN
  EXECUTE format('ALTER FUNCTION dibs_prune(timestamptz, integer) SET search_path = %I, pg_temp',
                 current_schema());
END $$
"""


def upgrade() -> None:
    op.execute("""
        CREATE TABLE keeper (
          id boolean NOT NULL,
          "lastTickAt" timestamptz,
          "amnestySince" timestamptz,
          "prunedAt" timestamptz,
          CONSTRAINT keeper_pkey PRIMARY KEY (id),
          CONSTRAINT keeper_one_row CHECK (id)
        ) WITH (fillfactor = 50)
    """)
    op.execute("INSERT INTO keeper (id) VALUES (true)")
    op.execute(PRUNE)
    op.execute("REVOKE ALL ON FUNCTION dibs_prune(timestamptz, integer) FROM PUBLIC")
    op.execute(PIN_SEARCH_PATH)


def downgrade() -> None:
    op.execute("DROP FUNCTION dibs_prune(timestamptz, integer)")
    op.execute("DROP TABLE keeper")
