"""How often each process lost leases, so that one that keeps losing them gets no more

A new table. It also takes the place of "lostSessions", which an orchestrator of
the version before still writes: a later migration drops that.

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
        CREATE TABLE incidents (
          executor text NOT NULL,
          session uuid NOT NULL,
          number integer NOT NULL,
          at timestamptz NOT NULL,
          CONSTRAINT incidents_pkey PRIMARY KEY (executor, session),
          CONSTRAINT incidents_number_not_negative CHECK (number >= 0)
        ) WITH (fillfactor = 50)
    """)


def downgrade() -> None:
    op.execute("DROP TABLE incidents")
