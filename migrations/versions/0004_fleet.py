"""The executors that registered, and the queues that were set

New tables; nothing that runs knows them.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE executors (
          "fullName" text NOT NULL,
          session uuid NOT NULL,
          "tokenName" text NOT NULL,
          version text,
          slots integer NOT NULL,
          queues text[] NOT NULL,
          "stepTypes" text[] NOT NULL,
          labels jsonb NOT NULL,
          url text,
          state text NOT NULL,
          reason text,
          "registeredAt" timestamptz NOT NULL,
          "seenAt" timestamptz NOT NULL,
          CONSTRAINT executors_pkey PRIMARY KEY ("fullName", session),
          CONSTRAINT executors_state_known CHECK (
            state IN ('active', 'draining', 'quarantined')),
          CONSTRAINT executors_slots_positive CHECK (slots > 0)
        ) WITH (fillfactor = 50)
    """)
    op.execute("""
        CREATE TABLE queues (
          name text NOT NULL,
          paused boolean NOT NULL,
          "maxConcurrency" integer,
          "ratePerSecond" integer,
          "changedBy" text,
          "changedAt" timestamptz NOT NULL,
          CONSTRAINT queues_pkey PRIMARY KEY (name),
          CONSTRAINT queues_limits_positive CHECK (
            coalesce("maxConcurrency", 1) > 0 AND coalesce("ratePerSecond", 1) > 0)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE queues")
    op.execute("DROP TABLE executors")
