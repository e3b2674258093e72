"""Which tokens are for trying Dibs out on one machine only

A new column with a constant default. The version before neither reads nor writes it:
what it makes is no development token, and it accepts those that are.

Revision ID: 0018
Revises: 0017
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE "accessTokens" ADD COLUMN development boolean NOT NULL DEFAULT false
    """)


def downgrade() -> None:
    op.execute('ALTER TABLE "accessTokens" DROP COLUMN development')
