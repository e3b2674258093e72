"""How far each bulk act has come, so that it can be gone on with and repeated

A new table; what runs without it goes on as it was.

Revision ID: 0012
Revises: 0011
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE "bulkActs" (
          "tokenName" text NOT NULL,
          "idempotencyKey" text NOT NULL,
          "bodyHash" bytea NOT NULL,
          at timestamptz NOT NULL,
          before uuid NOT NULL,
          "isOver" boolean NOT NULL,
          matched integer NOT NULL,
          changed integer NOT NULL,
          refused integer NOT NULL,
          CONSTRAINT "bulkActs_pkey" PRIMARY KEY ("tokenName", "idempotencyKey"),
          CONSTRAINT "bulkActs_counters" CHECK (
            changed >= 0 AND refused >= 0 AND changed + refused <= matched)
        ) WITH (fillfactor = 50)
    """)


def downgrade() -> None:
    op.execute('DROP TABLE "bulkActs"')
