"""A schema newer than this code: our migrations, and others behind them that only add."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config

from orchestrator import schema

MIGRATIONS = Path(schema.__file__).parent.parent / "migrations"

ADD_COLUMN = (
    """op.execute('ALTER TABLE "workflowRuns" ADD COLUMN note text')""",
    """op.execute('ALTER TABLE "workflowRuns" DROP COLUMN note')""",
)
BUILD_INDEX = (
    """
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY IF EXISTS "workflowRuns_note"')
        op.execute('CREATE INDEX CONCURRENTLY "workflowRuns_note" ON "workflowRuns" (note)')
    """,
    """
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY IF EXISTS "workflowRuns_note"')
    """,
)
ADD_CONSTRAINT = (
    """op.execute('ALTER TABLE "workflowRuns" ADD CONSTRAINT "workflowRuns_note_short"'
               ' CHECK (length(note) < 100) NOT VALID')""",
    """op.execute('ALTER TABLE "workflowRuns" DROP CONSTRAINT "workflowRuns_note_short"')""",
)
VALIDATE_CONSTRAINT = (
    """op.execute('ALTER TABLE "workflowRuns" VALIDATE CONSTRAINT "workflowRuns_note_short"')""",
    "pass",
)

_REVISION = '''"""{title}"""
from alembic import op

revision = {revision!r}
down_revision = {before!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
'''


class NewerSchema:
    """The migrations of a version that is not written yet."""

    def __init__(self, folder: Path, *steps: tuple[str, str]) -> None:
        """
        Args:
            folder: An empty place of the test's own.
            steps: What each further migration does up and down, in order.
        """
        self.ours = schema.known_revisions()[0]
        self._location = folder / "migrations"
        self._config_file = folder / "alembic.ini"
        shutil.copytree(MIGRATIONS, self._location, ignore=shutil.ignore_patterns("__pycache__"))
        before = self.ours
        for number, (up, down) in enumerate(steps, 1):
            revision = f"later{number}"
            (self._location / "versions" / f"{revision}.py").write_text(
                _REVISION.format(
                    title=revision, revision=revision, before=before, up=up, down=down
                ),
                encoding="utf-8",
            )
            before = revision
        self.head = before
        self._config_file.write_text(
            f"[alembic]\nscript_location = {self._location}\n", encoding="utf-8"
        )

    def upgrade(self, url: str, *, report: Callable[[str], None] | None = None) -> None:
        """As `dibs migrate up` of that version."""
        command.upgrade(self._config(url, report), "head")

    def downgrade(
        self, url: str, revision: str, *, report: Callable[[str], None] | None = None
    ) -> None:
        """As `dibs migrate down --to` of that version."""
        command.downgrade(self._config(url, report), revision)

    def start(self, url: str, *words: str) -> subprocess.Popen[str]:
        """`alembic <words>`, in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "alembic", "-c", self._config_file, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "DATABASE_URL": url},
        )

    def _config(self, url: str, report: Callable[[str], None] | None) -> Config:
        config = Config()
        config.set_main_option("script_location", str(self._location).replace("%", "%%"))
        config.attributes["url"] = url
        config.attributes["report"] = report
        return config
