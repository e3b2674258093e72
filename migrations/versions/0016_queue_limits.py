"""What the limits of a queue are counted with

Columns of a small table. The version before does not write them, and knows no limits.

Revision ID: 0016
Revises: 0015
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Every claim from a limited queue writes its row: room is left for it on the page.
    op.execute("""
        ALTER TABLE queues
          ADD COLUMN "maxConcurrencyPerKey" integer
            CONSTRAINT queues_per_key_positive CHECK ("maxConcurrencyPerKey" > 0),
          ADD COLUMN "leasedAtMost" integer
            CONSTRAINT queues_leased_at_most CHECK ("leasedAtMost" >= 0),
          ADD COLUMN "grantSlots" bigint[] NOT NULL DEFAULT '{}',
          ADD COLUMN "grantCounts" integer[] NOT NULL DEFAULT '{}'
            CONSTRAINT queues_grants CHECK (cardinality("grantSlots") = cardinality("grantCounts")),
          SET (fillfactor = 20)
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE queues
          DROP COLUMN "grantCounts", DROP COLUMN "grantSlots", DROP COLUMN "leasedAtMost",
          DROP COLUMN "maxConcurrencyPerKey",
          RESET (fillfactor)
    """)
