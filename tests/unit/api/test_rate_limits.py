"""How often may be asked: bad credentials by address, good tokens by their budget."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from orchestrator.api.access import is_budgeted
from orchestrator.api.context import EXTENSION, services_of
from orchestrator.api.request_budgets import RequestBudgets
from orchestrator.api.tokens import Tokens

BAD = {"Authorization": "Bearer dibs_client_wrong"}
UNKNOWN = {"Authorization": "Bearer dibs_nobody_s3cret"}


class Limits:
    """Small budgets on a clock that stands still, in place of the application's own."""

    def __init__(self, app, stored):
        self.now = 1_000.0
        self.readings = 0
        self._app = app

        def read():
            self.readings += 1
            return stored

        self.put(
            tokens=Tokens(read, sleep=lambda _seconds: None),
            token_budgets=self.budgets(1, burst=3),
            failed_credentials=self.budgets(1, burst=3),
        )

    def put(self, **parts):
        self._app.extensions[EXTENSION] = replace(services_of(self._app), **parts)

    def budgets(self, per_second, *, burst):
        return RequestBudgets(per_second, burst=burst, clock=lambda: self.now)

    def trust(self, *networks):
        settings = services_of(self._app).settings
        trusted = tuple(map(ip_network, networks))
        self.put(settings=settings.model_copy(update={"trusted_proxies": trusted}))


@pytest.fixture
def limits(app, stored):
    before = services_of(app)
    yield Limits(app, stored)
    app.extensions[EXTENSION] = before


@pytest.fixture
def ask(client):
    """Ask who one is, from an address; the status."""

    def ask(headers, address="192.0.2.1", **more):
        answer = client.get(
            "/v1/whoami", headers={**headers, **more}, environ_overrides={"REMOTE_ADDR": address}
        )
        return answer.status_code

    return ask


@pytest.mark.parametrize(
    "bad",
    [{}, {"Authorization": "Basic eDp5"}, BAD, UNKNOWN],
    ids=["none", "malformed", "wrong", "unknown"],
)
def test_bad_credentials_are_counted_by_address(limits, ask, bad):
    assert [ask(bad) for _ in range(5)] == [401, 401, 401, 429, 429]
    assert ask(bad, "192.0.2.2") == 401
    limits.now += 1
    assert [ask(bad) for _ in range(2)] == [401, 429]


def test_a_good_credential_is_served_whatever_others_at_its_address_do(limits, ask, bearer):
    assert {ask(BAD) for _ in range(10)} == {401, 429}

    assert ask(bearer("client")) == 200
    assert ask(BAD) == 429


def test_good_credentials_do_not_count_as_bad_ones(limits, ask, bearer):
    limits.put(token_budgets=limits.budgets(1_000, burst=1_000))
    assert {ask(bearer("client")) for _ in range(20)} == {200}

    assert ask(BAD) == 401


def test_beyond_the_limit_nothing_is_looked_up(limits, ask):
    for _ in range(3):
        ask(UNKNOWN)
    readings = limits.readings

    assert {ask(UNKNOWN) for _ in range(20)} == {429}
    assert limits.readings == readings


def test_who_is_refused_is_told_when_to_come_back_and_nothing_else(limits, client):
    for _ in range(3):
        client.get("/v1/whoami", headers=BAD)
    wrong, unknown = (client.get("/v1/whoami", headers=bad) for bad in (BAD, UNKNOWN))

    for answer in (wrong, unknown):
        assert (answer.status_code, answer.json["code"]) == (429, "rate-limited")
        assert answer.headers["Retry-After"] == answer.headers["RateLimit-Reset"] == "1"
        assert answer.headers["RateLimit-Limit"] == "1"
        assert answer.headers["RateLimit-Remaining"] == "0"
        assert "WWW-Authenticate" not in answer.headers
    assert wrong.json | {"requestId": None} == unknown.json | {"requestId": None}


def test_only_a_trusted_proxy_says_who_is_asking(limits, ask):
    """Whoever forges the header is counted all the same, and costs nobody else anything."""
    forged = [ask(BAD, **{"X-Forwarded-For": f"198.51.100.{number}"}) for number in range(4)]
    limits.trust("192.0.2.1")
    behind = [ask(BAD, **{"X-Forwarded-For": "198.51.100.7"}) for _ in range(4)]
    neighbour = ask(BAD, **{"X-Forwarded-For": "198.51.100.7, 198.51.100.8"})

    assert forged == behind == [401, 401, 401, 429]
    assert neighbour == 401


def test_a_bad_token_on_behalf_counts_neither_for_the_executor_nor_its_address(limits, ask, bearer):
    on_behalf = {"Dibs-On-Behalf-Of": "Bearer dibs_nobody_x"}

    assert [ask(bearer("executor"), **on_behalf) for _ in range(20)] == [401] * 20
    assert [ask(bearer("executor")) for _ in range(4)] == [200, 200, 200, 429]
    assert [ask(BAD) for _ in range(4)] == [401, 401, 401, 429]


def test_an_executors_own_bad_token_does_count(limits, ask, bearer):
    on_behalf = {"Dibs-On-Behalf-Of": bearer("client")["Authorization"]}

    assert [ask(BAD, **on_behalf) for _ in range(4)] == [401, 401, 401, 429]


def test_a_token_has_a_budget_and_is_told_when_it_has_one_again(limits, client, bearer):
    answers = [client.get("/v1/whoami", headers=bearer("client")) for _ in range(4)]
    another = client.get("/v1/whoami", headers=bearer("viewer"))
    refused = answers[-1]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert refused.json["code"] == "rate-limited"
    assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"] == "1"
    assert refused.headers["RateLimit-Limit"] == "1"
    assert refused.headers["RateLimit-Remaining"] == "0"
    assert another.status_code == 200
    limits.now += 1
    assert client.get("/v1/whoami", headers=bearer("client")).status_code == 200


def test_a_request_that_its_role_may_not_make_counts_too(limits, client, bearer):
    statuses = [client.post("/v1/claims", headers=bearer("viewer")).status_code for _ in range(4)]

    assert statuses == [403, 403, 403, 429]


NOT_COUNTED = ["/v1/leases/renew", "/v1/leases/release", "/v1/reports"]


@pytest.mark.parametrize("path", NOT_COUNTED)
def test_what_keeps_and_ends_leases_is_never_refused_and_takes_nothing(
    limits, client, ask, bearer, path
):
    """They are served beyond any budget; 422 here, for the body says nothing."""
    before = [client.post(path, json={}, headers=bearer("executor")).status_code for _ in range(9)]
    counted = [ask(bearer("executor")) for _ in range(4)]
    after = client.post(path, json={}, headers=bearer("executor")).status_code

    assert before == [422] * 9
    assert counted == [200, 200, 200, 429]
    assert after == 422


def test_every_other_route_counts(app):
    not_counted = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if not is_budgeted(app.view_functions[rule.endpoint])
    }

    assert sorted(not_counted) == sorted(NOT_COUNTED)


def test_open_routes_know_no_limit(limits, client):
    assert {client.get("/healthz", headers=BAD).status_code for _ in range(20)} == {200}
