"""The sessions that lost a lease, so that a claim of theirs that is parked gets nothing

A new table; what runs without it goes on as it was.

Revision ID: 0010
Revises: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE "lostSessions" (
          session uuid NOT NULL,
          at timestamptz NOT NULL,
          CONSTRAINT "lostSessions_pkey" PRIMARY KEY (session)
        ) WITH (fillfactor = 50)
    """)


def downgrade() -> None:
    op.execute('DROP TABLE "lostSessions"')
