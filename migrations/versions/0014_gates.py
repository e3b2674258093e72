"""A gate for each concurrency key: what is pending and may not be claimed yet

A keyed run that becomes pending is gated: its place in the order of claims stands in
"gatedClaimKey", and its "claimKey" is infinity, behind everything that is claimed. Who
lets it in puts it back. A trigger gates, so that no statement can forget it, nor the
version before, which knows nothing of keys: its claims pass over a gated run. What it
ends frees a place all the same; the keeper of this version finds it.

New columns without a default, a check that is validated by the next migration.

Revision ID: 0014
Revises: 0013
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Of a claim of the version before nothing but this run is left out: an error would take
# the runs beside it, too.
GATE = """
CREATE FUNCTION dibs_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW."runState" = 'pending' THEN
    NEW."gatedClaimKey" := NEW."claimKey";
    NEW."claimKey" := 'infinity';
  ELSIF NEW."runState" = 'loading' THEN
    RETURN NULL;
  ELSE
    NEW."claimKey" := NEW."gatedClaimKey";
    NEW."gatedClaimKey" := NULL;
  END IF;
  RETURN NEW;
END $$
"""

TRIGGERS = (
    """
    CREATE TRIGGER "workflowRuns_gated_at_birth" BEFORE INSERT ON "workflowRuns" FOR EACH ROW
      WHEN (NEW."concurrencyKey" IS NOT NULL AND NEW."runState" = 'pending')
      EXECUTE FUNCTION dibs_gate()
    """,
    """
    CREATE TRIGGER "workflowRuns_gated" BEFORE UPDATE ON "workflowRuns" FOR EACH ROW
      WHEN ((NEW."concurrencyKey" IS NOT NULL AND NEW."runState" = 'pending'
             AND OLD."runState" <> 'pending')
         OR (OLD."gatedClaimKey" IS NOT NULL AND NEW."runState" <> 'pending'))
      EXECUTE FUNCTION dibs_gate()
    """,
    """
    CREATE TRIGGER "workflowRuns_concurrency_key_fixed" BEFORE UPDATE ON "workflowRuns"
      FOR EACH ROW WHEN (NEW."concurrencyKey" IS DISTINCT FROM OLD."concurrencyKey")
      EXECUTE FUNCTION dibs_refuse()
    """,
)


def upgrade() -> None:
    op.execute("""
        ALTER TABLE "workflowRuns"
          ADD COLUMN "concurrencyKey" text,
          ADD COLUMN "gatedClaimKey" timestamptz,
          ADD CONSTRAINT "workflowRuns_gate_whole" CHECK (
            ("gatedClaimKey" IS NOT NULL) = ("claimKey" = 'infinity')
            AND ("gatedClaimKey" IS NULL
                 OR ("runState" = 'pending' AND "concurrencyKey" IS NOT NULL))) NOT VALID
    """)
    op.execute(GATE)
    for trigger in TRIGGERS:
        op.execute(trigger)


def downgrade() -> None:
    op.execute('DROP TRIGGER "workflowRuns_concurrency_key_fixed" ON "workflowRuns"')
    op.execute('DROP TRIGGER "workflowRuns_gated" ON "workflowRuns"')
    op.execute('DROP TRIGGER "workflowRuns_gated_at_birth" ON "workflowRuns"')
    op.execute("DROP FUNCTION dibs_gate()")
    op.execute("""
        UPDATE "workflowRuns" SET "claimKey" = "gatedClaimKey", "gatedClaimKey" = NULL
         WHERE "gatedClaimKey" IS NOT NULL
    """)
    op.execute("""
        ALTER TABLE "workflowRuns" DROP CONSTRAINT "workflowRuns_gate_whole",
          DROP COLUMN "concurrencyKey", DROP COLUMN "gatedClaimKey"
    """)
