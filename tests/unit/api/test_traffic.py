"""What is counted of requests: each once, by the rule of its route."""

import pytest
from werkzeug.test import create_environ

from orchestrator.api.call import Call
from orchestrator.api.context import services_of
from orchestrator.api.problems import problem_codes
from orchestrator.metrics.exposition import counted, exposition
from orchestrator.minting import TokenNameTaken
from tests.scraped import Scraped


@pytest.fixture
def scrape(app):
    return lambda: Scraped(exposition(counted(services_of(app).meter)).decode())


def test_a_request_is_counted_by_its_route_whatever_its_path(client, bearer, scrape):
    before = scrape()
    for number in range(3):
        client.get(f"/v1/runs/{number}", headers=bearer("viewer"))
    client.head("/healthz")
    client.get("/no/such/path")
    after = scrape()

    def grown(route, status, method="GET"):
        labels = {"method": method, "route": route, "status": status}
        name = "dibs_http_requests_total"
        return after.sum(name, **labels) - before.sum(name, **labels)

    assert grown("/v1/runs/{run_id}", "4xx") == 3
    assert grown("/healthz", "2xx") == 1
    assert grown("none", "4xx", method="ANY") == 1


def test_a_request_with_two_answers_is_counted_once(app, scrape):
    environ = create_environ("/healthz")
    before = scrape().sum("dibs_http_requests_total")

    app.traffic.begin(environ)
    for _ in range(2):
        # One from the watch that cuts its body off, one from the thread that read it.
        app.traffic.end(Call(environ, services_of(app)), 408)

    assert scrape().sum("dibs_http_requests_total") == before + 1


def test_every_problem_there_is_has_a_series_before_it_comes(scrape):
    # One is the command line's alone; whether it is known here depends on what was imported.
    served = problem_codes() - {TokenNameTaken.code}
    assert scrape().labelled("dibs_problems_total", "code") - {TokenNameTaken.code} == served
