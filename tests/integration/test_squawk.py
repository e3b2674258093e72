"""The migrations' SQL, read by squawk: nothing that blocks a table in use."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config

from orchestrator import schema

RULES = Path(__file__).with_name("squawk.toml")
SQUAWK = Path(sys.executable).with_name("squawk")


def all_migrations() -> str:
    """What `alembic upgrade head --sql` prints."""
    printed = io.StringIO()
    config = Config(output_buffer=printed)
    config.set_main_option(
        "script_location", str(Path(schema.__file__).parent.parent / "migrations")
    )
    command.upgrade(config, "head", sql=True)
    return printed.getvalue()


def lint(tmp_path: Path, statements: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "migrations.sql"
    file.write_text(statements, encoding="utf-8")
    return subprocess.run(
        [SQUAWK, "--config", RULES, file], capture_output=True, text=True, check=False
    )


def test_the_migrations_pass_squawk(tmp_path: Path) -> None:
    said = lint(tmp_path, all_migrations())

    assert said.returncode == 0, said.stdout + said.stderr


def test_squawk_would_refuse_a_blocking_index(tmp_path: Path) -> None:
    said = lint(tmp_path, 'CREATE INDEX i ON "workflowRuns" (workflow);')

    assert said.returncode != 0
    assert "require-concurrent-index-creation" in said.stdout
