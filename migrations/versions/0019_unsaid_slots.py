"""An executor need not say how many slots it has

One that does not is given whatever it asks for; so far it was taken for one with a single
slot. No row is touched. The version before shows null where it showed 1, and writes 1.

Revision ID: 0019
Revises: 0018
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE executors ALTER COLUMN slots DROP NOT NULL")


def downgrade() -> None:
    op.execute("UPDATE executors SET slots = 1 WHERE slots IS NULL")
    op.execute("ALTER TABLE executors ALTER COLUMN slots SET NOT NULL")
