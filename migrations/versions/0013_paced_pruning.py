"""Pruning page by page, so that no page walks over what another has seen

A function beside the one of 0006, and two columns of the keeper's row: how far the
present pass has come, and how long nothing is pruned. The version before uses the
old function; its passes begin at the first run each time, as ever.

Revision ID: 0013
Revises: 0012
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# A page is a stretch of the primary key, so that its cost is bounded however few of
# its runs may go. Ids are UUIDv7: a run that was over before :before was created
# before it, and the pass ends there. The id was made by an orchestrator's clock: one
# that runs ahead only keeps its runs for longer.
# The guards let a delete through only while dibs.pruning is on. It is set in the
# body: as a setting of the function only a superuser could write it down.
PRUNE_PAGE = """
CREATE FUNCTION dibs_prune_page(before timestamptz, after uuid, max_runs integer,
                                OUT pruned integer, OUT through uuid, OUT is_last boolean)
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  newest uuid := (lpad(to_hex((extract(epoch FROM before) * 1000)::bigint), 12, '0')
                  || repeat('0', 20))::uuid;
  doomed uuid[];
BEGIN
  SELECT id INTO through FROM "workflowRuns"
   WHERE id > after AND id < newest ORDER BY id OFFSET max_runs - 1 LIMIT 1;
  is_last := through IS NULL;
  through := coalesce(through, greatest(newest, after));
  SELECT array_agg(id) INTO doomed FROM (
    SELECT id FROM "workflowRuns"
     WHERE id > after AND id <= through AND "runState" IN ('finished', 'failed', 'aborted')
       AND "finishedAt" < before
     ORDER BY id FOR UPDATE SKIP LOCKED) over_runs;
  PERFORM set_config('dibs.pruning', 'on', true);
  DELETE FROM "workflowSteps" WHERE "runId" = ANY (doomed);
  DELETE FROM "runEvents" WHERE "runId" = ANY (doomed);
  DELETE FROM "workflowRuns" WHERE id = ANY (doomed);
  PERFORM set_config('dibs.pruning', 'off', true);
  pruned := coalesce(cardinality(doomed), 0);
END $$
"""

# Whoever calls a SECURITY DEFINER function must not choose where it looks. Whoever may
# call the old function may call this one: it does nothing more.
CLOSE = """
DO $$
DECLARE
  may record;
BEGIN
  EXECUTE format('ALTER FUNCTION dibs_prune_page(timestamptz, uuid, integer)'
                 ' SET search_path = %I, pg_temp', current_schema());
  FOR may IN
    SELECT DISTINCT r.rolname FROM pg_proc p, aclexplode(p.proacl) a, pg_roles r
     WHERE p.oid = 'dibs_prune(timestamptz, integer)'::regprocedure
       AND a.privilege_type = 'EXECUTE' AND r.oid = a.grantee AND r.oid <> p.proowner
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION dibs_prune_page(timestamptz, uuid, integer) TO %I',
                   may.rolname);
  END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("""
        ALTER TABLE keeper
          ADD COLUMN "prunedThrough" uuid,
          ADD COLUMN "pruneRestSeconds" double precision NOT NULL DEFAULT 60
    """)
    op.execute(PRUNE_PAGE)
    op.execute("REVOKE ALL ON FUNCTION dibs_prune_page(timestamptz, uuid, integer) FROM PUBLIC")
    op.execute(CLOSE)


def downgrade() -> None:
    op.execute("DROP FUNCTION dibs_prune_page(timestamptz, uuid, integer)")
    op.execute('ALTER TABLE keeper DROP COLUMN "prunedThrough", DROP COLUMN "pruneRestSeconds"')
