"""Who may speak to the orchestrator

A new table; nothing that runs knows it. A row is never deleted: a name stays its owner's.

Revision ID: 0005
Revises: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE "accessTokens" (
          "keyId" text NOT NULL,
          name text NOT NULL,
          role text NOT NULL,
          "secretHash" bytea NOT NULL,
          queues text[] NOT NULL,
          "createdAt" timestamptz NOT NULL,
          "expiresAt" timestamptz,
          "revokedAt" timestamptz,
          CONSTRAINT "accessTokens_pkey" PRIMARY KEY ("keyId"),
          CONSTRAINT "accessTokens_role_known" CHECK (
            role IN ('client', 'executor', 'operator', 'viewer')),
          CONSTRAINT "accessTokens_name_form" CHECK (
            name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
          CONSTRAINT "accessTokens_hash_length" CHECK (octet_length("secretHash") = 32)
        )
    """)
    op.execute('CREATE INDEX "accessTokens_name" ON "accessTokens" (name)')


def downgrade() -> None:
    op.execute('DROP TABLE "accessTokens"')
