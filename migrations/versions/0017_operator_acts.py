"""The ledger of what operators and clients did, beside what it did to runs

A new table, and a function that takes over what is old. The version before knows
neither: its acts are in the runs' ledger alone, as ever.

Revision ID: 0017
Revises: 0016
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

ACTS = """
CREATE TABLE "operatorActs" (
  id uuid NOT NULL,
  at timestamptz NOT NULL,
  actor text NOT NULL,
  "keyId" text,
  "requestId" text,
  kind text NOT NULL,
  subject text NOT NULL,
  queue text,
  detail jsonb NOT NULL,
  CONSTRAINT "operatorActs_pkey" PRIMARY KEY (id),
  CONSTRAINT "operatorActs_named" CHECK (actor <> '' AND kind <> '' AND subject <> ''),
  CONSTRAINT "operatorActs_detail_object" CHECK (jsonb_typeof(detail) = 'object')
)
"""

GUARDS = (
    """
    CREATE TRIGGER "operatorActs_append_only" BEFORE UPDATE ON "operatorActs"
      FOR EACH ROW EXECUTE FUNCTION dibs_refuse()
    """,
    """
    CREATE TRIGGER "operatorActs_only_pruned" BEFORE DELETE ON "operatorActs" FOR EACH ROW
      WHEN (current_setting('dibs.pruning', true) IS DISTINCT FROM 'on')
      EXECUTE FUNCTION dibs_refuse()
    """,
    """
    CREATE TRIGGER "operatorActs_not_truncated" BEFORE TRUNCATE ON "operatorActs"
      FOR EACH STATEMENT EXECUTE FUNCTION dibs_refuse()
    """,
)

# Ids are UUIDv7: the first by id are the oldest, but for what clocks differ. What is
# younger than a day stays, whatever the caller says: nobody who has the service's
# login can take away what he did just now.
PRUNE_ACTS = """
CREATE FUNCTION dibs_prune_acts(before timestamptz, max_acts integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  pruned integer;
BEGIN
  PERFORM set_config('dibs.pruning', 'on', true);
  DELETE FROM "operatorActs"
   WHERE id = ANY (ARRAY(SELECT id FROM "operatorActs" ORDER BY id LIMIT max_acts))
     AND at < least(before, clock_timestamp() - interval '1 day');
  GET DIAGNOSTICS pruned = ROW_COUNT;
  PERFORM set_config('dibs.pruning', 'off', true);
  RETURN pruned;
END $$
"""

# Whoever calls a SECURITY DEFINER function must not choose where it looks.
CLOSE = """
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION dibs_prune_acts(timestamptz, integer)'
                 ' SET search_path = %I, pg_temp', current_schema());
END $$
"""


def upgrade() -> None:
    op.execute(ACTS)
    for guard in GUARDS:
        op.execute(guard)
    op.execute(PRUNE_ACTS)
    op.execute("REVOKE ALL ON FUNCTION dibs_prune_acts(timestamptz, integer) FROM PUBLIC")
    op.execute(CLOSE)


def downgrade() -> None:
    op.execute("DROP FUNCTION dibs_prune_acts(timestamptz, integer)")
    op.execute('DROP TABLE "operatorActs"')
