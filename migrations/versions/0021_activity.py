"""What happened per minute, hour and day, and who was refused a run

Two new tables, and both prune functions take what was refused of a run along with it. The
version before writes neither table, and prunes by the same functions as ever.

Revision ID: 0021
Revises: 0020
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# The counters of a row are added to every few seconds: no index holds one, and there
# is room for the next version on its page.
ACTIVITY = """
CREATE TABLE activity (
  "spanSeconds" integer NOT NULL,
  "beganAt" timestamptz NOT NULL,
  queue text NOT NULL,
  created bigint NOT NULL DEFAULT 0,
  claimed bigint NOT NULL DEFAULT 0,
  replayed bigint NOT NULL DEFAULT 0,
  refused bigint NOT NULL DEFAULT 0,
  reported bigint NOT NULL DEFAULT 0,
  retried bigint NOT NULL DEFAULT 0,
  released bigint NOT NULL DEFAULT 0,
  expired bigint NOT NULL DEFAULT 0,
  finished bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0,
  aborted bigint NOT NULL DEFAULT 0,
  "mostPending" bigint NOT NULL DEFAULT 0,
  "oldestPendingSeconds" bigint NOT NULL DEFAULT 0,
  CONSTRAINT activity_pkey PRIMARY KEY ("spanSeconds", "beganAt", queue),
  CONSTRAINT activity_spans CHECK ("spanSeconds" IN (60, 3600, 86400)),
  CONSTRAINT activity_counters CHECK (least(created, claimed, replayed, refused, reported,
    retried, released, expired, finished, failed, aborted, "mostPending",
    "oldestPendingSeconds") >= 0)
) WITH (fillfactor = 50)
"""

REFUSED_CLAIMS = """
CREATE TABLE "refusedClaims" (
  "runId" uuid NOT NULL,
  number bigint NOT NULL,
  last jsonb NOT NULL,
  CONSTRAINT "refusedClaims_pkey" PRIMARY KEY ("runId"),
  CONSTRAINT "refusedClaims_number_positive" CHECK (number > 0),
  CONSTRAINT "refusedClaims_few" CHECK (jsonb_array_length(last) BETWEEN 1 AND 5)
) WITH (fillfactor = 70)
"""

DELETE_REFUSED = """DELETE FROM "refusedClaims" WHERE "runId" = ANY (doomed);"""

# As in 0013, but for the refused claims. A run may go while the last refusal of it is
# written: what that leaves behind goes with the next pass.
PRUNE_PAGE = """
CREATE OR REPLACE FUNCTION dibs_prune_page(before timestamptz, after uuid, max_runs integer,
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
  {delete_refused}
  pruned := coalesce(cardinality(doomed), 0);
END $$
"""

DELETE_REFUSED_IN_PAGE = """DELETE FROM "refusedClaims" c
   WHERE c."runId" > after AND c."runId" <= through
     AND NOT EXISTS (SELECT FROM "workflowRuns" r WHERE r.id = c."runId");"""

# As in 0006, but for the refused claims.
PRUNE = """
CREATE OR REPLACE FUNCTION dibs_prune(before timestamptz, max_runs integer) RETURNS integer
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
  {delete_refused}
  RETURN coalesce(cardinality(doomed), 0);
END $$
"""

# A function that is replaced keeps its owner and grants, and loses its settings. Whoever
# calls a SECURITY DEFINER function must not choose where it looks.
PIN_SEARCH_PATHS = """
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION dibs_prune(timestamptz, integer)'
                 ' SET search_path = %I, pg_temp', current_schema());
  EXECUTE format('ALTER FUNCTION dibs_prune_page(timestamptz, uuid, integer)'
                 ' SET search_path = %I, pg_temp', current_schema());
END $$
"""


def upgrade() -> None:
    op.execute(ACTIVITY)
    op.execute(REFUSED_CLAIMS)
    op.execute(PRUNE.replace("{delete_refused}", DELETE_REFUSED))
    op.execute(PRUNE_PAGE.replace("{delete_refused}", DELETE_REFUSED_IN_PAGE))
    op.execute(PIN_SEARCH_PATHS)


def downgrade() -> None:
    op.execute(PRUNE.replace("  {delete_refused}\n", ""))
    op.execute(PRUNE_PAGE.replace("  {delete_refused}\n", ""))
    op.execute(PIN_SEARCH_PATHS)
    op.execute('DROP TABLE "refusedClaims"')
    op.execute("DROP TABLE activity")
