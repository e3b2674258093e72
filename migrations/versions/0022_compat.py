"""The adapter for executors of another orchestrator: their secrets, and what they were handed

A second secret of an executor's token, two new tables, and both prune functions take a run's
number along with it. The version before knows none of it: it makes tokens without a second
secret, and prunes by the same functions as ever.

Revision ID: 0022
Revises: 0021
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

SECOND_FORM = """
ALTER TABLE "accessTokens" ADD COLUMN "compatHash" bytea
  CONSTRAINT "accessTokens_compat_form" CHECK (
    "compatHash" IS NULL OR (octet_length("compatHash") = 32 AND role = 'executor'))
"""

# A row is written again with each lease that the run has there, and no index holds what changes.
RUNS = """
CREATE TABLE "compatRuns" (
  number bigint GENERATED ALWAYS AS IDENTITY,
  "runId" uuid NOT NULL,
  "leaseId" uuid NOT NULL,
  "stepIndex" integer NOT NULL,
  "keyId" text NOT NULL,
  address text NOT NULL,
  polled boolean NOT NULL,
  "refusedAt" timestamptz,
  CONSTRAINT "compatRuns_pkey" PRIMARY KEY (number),
  CONSTRAINT "compatRuns_run_once" UNIQUE ("runId"),
  CONSTRAINT "compatRuns_number_exact" CHECK (number BETWEEN 1 AND 9007199254740991)
) WITH (fillfactor = 70)
"""

EXECUTORS = """
CREATE TABLE "compatExecutors" (
  "tokenName" text NOT NULL,
  session uuid NOT NULL,
  address text NOT NULL,
  "seenAt" timestamptz NOT NULL,
  "otherAddress" text,
  "otherAt" timestamptz,
  CONSTRAINT "compatExecutors_pkey" PRIMARY KEY ("tokenName"),
  CONSTRAINT "compatExecutors_other_whole" CHECK (
    ("otherAddress" IS NULL) = ("otherAt" IS NULL))
) WITH (fillfactor = 50)
"""

# As in 0021, but for the numbers of runs.
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
  {delete_numbers}
  DELETE FROM "refusedClaims" c
   WHERE c."runId" > after AND c."runId" <= through
     AND NOT EXISTS (SELECT FROM "workflowRuns" r WHERE r.id = c."runId");
  pruned := coalesce(cardinality(doomed), 0);
END $$
"""

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
  {delete_numbers}
  DELETE FROM "refusedClaims" WHERE "runId" = ANY (doomed);
  RETURN coalesce(cardinality(doomed), 0);
END $$
"""

DELETE_NUMBERS = """DELETE FROM "compatRuns" WHERE "runId" = ANY (doomed);"""

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
    op.execute(SECOND_FORM)
    op.execute(RUNS)
    op.execute(EXECUTORS)
    op.execute(PRUNE.replace("{delete_numbers}", DELETE_NUMBERS))
    op.execute(PRUNE_PAGE.replace("{delete_numbers}", DELETE_NUMBERS))
    op.execute(PIN_SEARCH_PATHS)


def downgrade() -> None:
    op.execute(PRUNE.replace("  {delete_numbers}\n", ""))
    op.execute(PRUNE_PAGE.replace("  {delete_numbers}\n", ""))
    op.execute(PIN_SEARCH_PATHS)
    op.execute('DROP TABLE "compatExecutors"')
    op.execute('DROP TABLE "compatRuns"')
    op.execute('ALTER TABLE "accessTokens" DROP COLUMN "compatHash"')
