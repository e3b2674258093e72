"""The adapter's routes: there when they are switched on, and only for its own credentials."""

from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from orchestrator.api.access import is_budgeted, roles_of
from orchestrator.api.context import EXTENSION, services_of
from orchestrator.api.request_budgets import RequestBudgets
from orchestrator.api.tokens import Tokens
from orchestrator.app import create_app
from orchestrator.lifecycle import Role
from orchestrator.settings import load

ROOT = "/api/workflow-orchestrator"
LOGS = "/api/activity-logs-requests"
ROUTES = {
    f"GET {ROOT}/pending-run",
    f"GET {ROOT}/available-run/<named>",
    f"GET {ROOT}/run/<named>/access-check",
    f"POST {ROOT}/update-step",
    f"GET {ROOT}/collection-schema/<path:name>",
    f"POST {ROOT}/executor-metadata",
    f"POST {LOGS}",
    f"PATCH {LOGS}/<index>/<log_id>/status",
}
# What ends a lease, or keeps it, is served however much its token has asked.
ALWAYS_SERVED = {
    f"POST {ROOT}/update-step",
    f"POST {LOGS}",
    f"PATCH {LOGS}/<index>/<log_id>/status",
}


@pytest.fixture(scope="module")
def adapter(stored) -> Flask:
    """Every route there can be, and no database behind them."""
    made = create_app(
        load(
            {
                "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
                "DIBS_SECRET_KEY": "k" * 32,
                "DIBS_COMPAT": "on",
            }
        )
    )
    made.extensions[EXTENSION] = replace(services_of(made), tokens=Tokens(lambda: stored))
    return made


def rules(app: Flask) -> dict[str, object]:
    return {
        f"{method} {rule.rule}": app.view_functions[rule.endpoint]
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
    }


def send(client: FlaskClient, route: str, **headers: str):
    method, path = route.split(" ")
    for name in ("named", "name", "index", "log_id"):
        path = path.replace(f"<{name}>", "1")
    return client.open(path, method=method, headers=headers)


def test_it_adds_these_routes_for_executors_and_no_others(app: Flask, adapter: Flask) -> None:
    added = {route: view for route, view in rules(adapter).items() if route not in rules(app)}

    assert set(added) == ROUTES
    assert {frozenset(roles_of(view)) for view in added.values()} == {frozenset({Role.EXECUTOR})}
    assert {route for route, view in added.items() if not is_budgeted(view)} == ALWAYS_SERVED


def test_they_are_not_described(client: FlaskClient, adapter: Flask) -> None:
    """Their contract is another's."""
    described = adapter.test_client().get("/openapi.json").json

    assert described == client.get("/openapi.json").json


@pytest.mark.parametrize("route", sorted(ROUTES))
def test_switched_off_they_are_like_any_path_that_is_not_there(
    client: FlaskClient, route: str
) -> None:
    answer = send(client, route, **{"forest-secret-key": "0" * 64})

    assert (answer.status_code, answer.json["code"]) == (404, "not-found")


@pytest.mark.parametrize("route", sorted(ROUTES))
@pytest.mark.parametrize("role", sorted(Role))
def test_no_token_is_good_there(adapter: Flask, bearer, route: str, role: Role) -> None:
    answer = send(adapter.test_client(), route, **bearer(role.value))

    assert answer.status_code == 401
    assert [set(error) for error in answer.json["errors"]] == [{"status", "code", "detail"}]


@pytest.mark.parametrize("route", sorted(ROUTES))
def test_bad_credentials_count_by_address(
    adapter: Flask, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    one = RequestBudgets(1, burst=1, clock=lambda: 0.0)
    parts = replace(services_of(adapter), failed_credentials=one)
    monkeypatch.setitem(adapter.extensions, EXTENSION, parts)

    first, second = (send(adapter.test_client(), route) for _ in range(2))

    assert (first.status_code, second.status_code) == (401, 429)
    assert second.headers["Retry-After"]
    assert second.json["errors"][0]["code"] == "rate-limited"
