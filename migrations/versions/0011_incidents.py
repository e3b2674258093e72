"""How often a session lost leases, so that one that keeps losing them gets no more

Two columns that have defaults; what runs without them goes on as it was.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE "lostSessions"
          ADD COLUMN executor text,
          ADD COLUMN incidents integer NOT NULL DEFAULT 0
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE "lostSessions"
          DROP COLUMN executor,
          DROP COLUMN incidents
    """)
