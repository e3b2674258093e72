"""An orchestrator whose server is a standby serves nothing, and nothing is lost by it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg

from orchestrator.dev.embedded import EmbeddedPostgres
from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.stage import check_all_ledgers, stage_on
from tests.acceptance.waiting import eventually
from tests.database import fresh_database, template_on
from tests.integration.keyed_requests import REQUESTS, is_refused, problem_of


def test_a_server_in_recovery_is_unavailable_and_all_is_done_once_after_it(
    tmp_path: Path,
) -> None:
    """By the server itself: it starts with a standby's mark, and once more without."""
    directory = tmp_path / "postgres"
    mark = directory / "cluster" / "standby.signal"
    with (
        EmbeddedPostgres(directory) as postgres,
        template_on(postgres.owner_url, shared=False) as template,
        fresh_database(template) as database,
    ):
        with (
            stage_on(database, tmp_path) as stage,
            closing(stage.client()) as web,
            closing(stage.client(Role.EXECUTOR)) as holder,
        ):
            requests = [prepare(web, holder) for prepare in REQUESTS.values()]
            postgres.stop()
            mark.touch()
            postgres.start()
            answers = [request.send() for request in requests]
            # An answer from before is kept for a second.
            ready = eventually(
                lambda: (
                    (answer := holder.send("GET", "/readyz")).status_code == 503
                    and "database-unavailable" not in answer.text
                    and answer
                )
            )
            postgres.stop()
            mark.unlink()
            postgres.start()
            eventually(lambda: is_back(web), what="the orchestrator is back")
            for request in requests:
                eventually(lambda request=request: not is_refused(request.send()))
            with closing(psycopg.connect(database.owner_url, autocommit=True)) as owner:
                effects = [request.effects(owner) for request in requests]
        check_all_ledgers(database)

    assert [problem_of(answer) for answer in answers] == [(503, "unavailable")] * len(answers)
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
    assert ready.json()["reasons"] == ["database-read-only"]
    assert effects == [1] * len(requests)


def is_back(web: Client) -> bool:
    return web.send("GET", "/v1/runs?limit=1").is_success
