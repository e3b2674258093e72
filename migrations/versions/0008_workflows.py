"""Definitions of workflows: immutable versions, and which one is current

New tables; what runs without them goes on as it was: a run without a
definition is one step of its workflow's name.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# `steps` is the definition's steps by name, with every default filled in: what
# the statements look up. It is made with the row and as immutable.
WORKFLOWS = """
CREATE TABLE workflows (
  name text NOT NULL,
  version integer NOT NULL,
  definition jsonb NOT NULL,
  "firstStep" text NOT NULL,
  steps jsonb NOT NULL,
  "contentHash" bytea NOT NULL,
  "createdBy" text NOT NULL,
  "createdAt" timestamptz NOT NULL,
  CONSTRAINT workflows_pkey PRIMARY KEY (name, version),
  CONSTRAINT workflows_content_once UNIQUE (name, "contentHash"),
  CONSTRAINT workflows_version_positive CHECK (version >= 1),
  CONSTRAINT workflows_first_step_known CHECK (steps ? "firstStep")
)
"""

CURRENT = """
CREATE TABLE "currentWorkflows" (
  name text NOT NULL,
  version integer NOT NULL,
  "changedBy" text NOT NULL,
  "changedAt" timestamptz NOT NULL,
  CONSTRAINT "currentWorkflows_pkey" PRIMARY KEY (name)
)
"""

GUARDS = (
    """
    CREATE TRIGGER workflows_immutable BEFORE UPDATE OR DELETE ON workflows
      FOR EACH ROW EXECUTE FUNCTION dibs_refuse()
    """,
    """
    CREATE TRIGGER workflows_not_truncated BEFORE TRUNCATE ON workflows
      FOR EACH STATEMENT EXECUTE FUNCTION dibs_refuse()
    """,
)


def upgrade() -> None:
    op.execute(WORKFLOWS)
    op.execute(CURRENT)
    for guard in GUARDS:
        op.execute(guard)


def downgrade() -> None:
    op.execute('DROP TABLE "currentWorkflows"')
    op.execute("DROP TABLE workflows")
