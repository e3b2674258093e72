"""The index behind the lists of one queue's runs

Built without blocking writes; what a broken build left behind is built again.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY IF EXISTS "workflowRuns_queue"')
        op.execute('CREATE INDEX CONCURRENTLY "workflowRuns_queue" ON "workflowRuns" (queue, id)')


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY IF EXISTS "workflowRuns_queue"')
