"""The index by which runs at rest are counted for each queue

Scheduled, waiting, failed and aborted runs; it has no entry for a run that is pending,
leased or finished, so claims and reports of success write nothing more. Built without
blocking writes; what a broken build left behind is built again. No column is new, and
the version before reads none of it.

Revision ID: 0020
Revises: 0019
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY IF EXISTS "workflowRuns_resting"')
        op.execute("""
            CREATE INDEX CONCURRENTLY "workflowRuns_resting"
              ON "workflowRuns" ("runState", "stepQueue")
              WHERE "runState" IN ('scheduled', 'waiting', 'failed', 'aborted')
        """)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY IF EXISTS "workflowRuns_resting"')
