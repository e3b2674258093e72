"""Schedules: runs created by the clock

A new table; nothing that runs knows it.

Revision ID: 0009
Revises: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE schedules (
          name text NOT NULL,
          workflow text NOT NULL,
          cron text NOT NULL,
          "timeZone" text NOT NULL,
          input jsonb NOT NULL,
          queue text NOT NULL,
          overlap text NOT NULL,
          paused boolean NOT NULL,
          "nextAt" timestamptz,
          "lastAt" timestamptz,
          "lastRunId" uuid,
          "changedBy" text NOT NULL,
          "changedAt" timestamptz NOT NULL,
          CONSTRAINT schedules_pkey PRIMARY KEY (name),
          CONSTRAINT schedules_overlap_known CHECK (overlap IN ('skip', 'queue'))
        )
    """)
    op.execute("""
        CREATE INDEX schedules_due ON schedules ("nextAt") WHERE NOT paused
    """)


def downgrade() -> None:
    op.execute("DROP TABLE schedules")
