"""`/metrics` while the database is away: that is when somebody wants to look."""

from dataclasses import replace

import pytest

from orchestrator.api.context import EXTENSION, services_of
from orchestrator.api.tokens import Tokens
from orchestrator.errors import Unavailable
from tests.scraped import Scraped


@pytest.fixture
def away(app, stored):
    """Lets the database answer once, and then no more; of tokens as of all else."""
    answers = iter([stored])

    def read():
        for answer in answers:
            return answer
        raise Unavailable("The database is not available.")

    before = app.extensions[EXTENSION]
    now = iter([0.0, 0.0])
    tokens = Tokens(read, clock=lambda: next(now, 10.0))
    app.extensions[EXTENSION] = replace(services_of(app), tokens=tokens)
    yield
    app.extensions[EXTENSION] = before


def test_a_token_that_was_good_when_the_database_last_answered_may_scrape(client, bearer, away):
    client.get("/v1/whoami", headers=bearer("viewer"))

    answer = client.get("/metrics", headers=bearer("viewer"))

    assert answer.status_code == 200
    scraped = Scraped(answer.text)
    assert scraped.sum("dibs_database_up") == 0
    assert scraped.sum("dibs_workers") == 1
    assert "dibs_runs" not in scraped.names


def test_no_other_route_takes_it_for_good(client, bearer, away):
    client.get("/v1/whoami", headers=bearer("viewer"))

    assert client.get("/v1/whoami", headers=bearer("viewer")).status_code == 503


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer dibs_viewer_wrong"}, 503),
        ({"Authorization": "Bearer nonsense"}, 401),
        ({}, 401),
    ],
)
def test_nobody_else_gets_in_meanwhile(client, bearer, away, headers, status):
    client.get("/v1/whoami", headers=bearer("viewer"))

    assert client.get("/metrics", headers=headers).status_code == status


def test_a_role_that_may_not_scrape_may_not_then_either(client, bearer, away):
    client.get("/v1/whoami", headers=bearer("client"))

    assert client.get("/metrics", headers=bearer("client")).status_code == 403
