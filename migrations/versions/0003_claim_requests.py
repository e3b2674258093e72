"""What each claim got, so that its repeat gets the same

A new table; nothing that runs knows it.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE "claimRequests" (
          "tokenName" text NOT NULL,
          "requestId" uuid NOT NULL,
          session uuid NOT NULL,
          "bodyHash" bytea NOT NULL,
          "runIds" uuid[],
          "leaseIds" uuid[],
          at timestamptz NOT NULL,
          CONSTRAINT "claimRequests_pkey" PRIMARY KEY ("tokenName", "requestId"),
          CONSTRAINT "claimRequests_same_length" CHECK (
            cardinality("runIds") IS NOT DISTINCT FROM cardinality("leaseIds"))
        ) WITH (fillfactor = 80)
    """)
    op.execute('CREATE INDEX "claimRequests_at" ON "claimRequests" (at)')


def downgrade() -> None:
    op.execute('DROP TABLE "claimRequests"')
