"""The index of the places of a concurrency key, and of those that wait for one

Built without blocking writes; what a broken build left behind is built again. It has
no entry for a run without a key.

Revision ID: 0015
Revises: 0014
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('ALTER TABLE "workflowRuns" VALIDATE CONSTRAINT "workflowRuns_gate_whole"')
        op.execute('DROP INDEX CONCURRENTLY IF EXISTS "workflowRuns_places"')
        op.execute("""
            CREATE INDEX CONCURRENTLY "workflowRuns_places"
              ON "workflowRuns" (queue, "concurrencyKey", "gatedClaimKey" NULLS FIRST, id)
              WHERE "concurrencyKey" IS NOT NULL
                AND "runState" IN ('pending', 'loading', 'started')
        """)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY IF EXISTS "workflowRuns_places"')
