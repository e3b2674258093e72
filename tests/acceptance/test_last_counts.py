"""SIGTERM to an orchestrator: what its last requests did is counted."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg

from tests.acceptance.stage import stage_on
from tests.database import Template, fresh_database


def test_what_was_done_just_before_the_end_is_counted(template: Template, tmp_path: Path) -> None:
    with fresh_database(template) as database, stage_on(database, tmp_path) as stage:
        with closing(stage.client()) as web:
            for _ in range(3):
                web.create("default")
        stage.orchestrator.ask_to_end()
        exit_code = stage.orchestrator.wait_for_exit()
        with psycopg.connect(database.owner_url) as owner:
            counted = owner.execute(
                'SELECT sum(created)::integer FROM activity WHERE "spanSeconds" = 86400'
            ).fetchone()

    assert (exit_code, counted) == (0, (3,))
