"""Who may use which route: every route against the contract's table."""

import pytest
from flask import Flask

from orchestrator.api.access import allow, require_declarations, roles_of
from orchestrator.lifecycle import Role

CLIENT, EXECUTOR, OPERATOR, VIEWER = Role.CLIENT, Role.EXECUTOR, Role.OPERATOR, Role.VIEWER
EVERYONE = {CLIENT, EXECUTOR, OPERATOR, VIEWER}
OPEN = set()

MAY = {
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /openapi.json": OPEN,
    "GET /metrics": {OPERATOR, VIEWER},
    "GET /docs": OPEN,
    "GET /docs/style.css": OPEN,
    "GET /v1/whoami": EVERYONE,
    "POST /v1/runs": {CLIENT, OPERATOR},
    "POST /v1/runs/batch": {CLIENT, OPERATOR},
    "GET /v1/runs": EVERYONE,
    "GET /v1/runs/<run_id>": EVERYONE,
    "GET /v1/runs/<run_id>/events": EVERYONE,
    "GET /v1/runs/<run_id>/refusals": EVERYONE,
    "GET /v1/runs/<run_id>/steps": EVERYONE,
    "GET /v1/runs/<run_id>/explain": EVERYONE,
    "POST /v1/runs/<run_id>/resume": {CLIENT, OPERATOR},
    "POST /v1/runs/<run_id>/abort": {CLIENT, OPERATOR},
    "POST /v1/runs/<run_id>/retry": {CLIENT, OPERATOR},
    "POST /v1/runs/<run_id>/resolve": {OPERATOR},
    "POST /v1/bulk/abort": {CLIENT, OPERATOR},
    "POST /v1/bulk/retry": {CLIENT, OPERATOR},
    "POST /v1/claims": {EXECUTOR},
    "POST /v1/runs/<run_id>/claim": {EXECUTOR},
    "POST /v1/leases/renew": {EXECUTOR},
    "POST /v1/leases/release": {EXECUTOR},
    "POST /v1/reports": {EXECUTOR},
    "POST /v1/runs/<run_id>/steps/<index>/start": {EXECUTOR},
    "PUT /v1/executors/<instance>": {EXECUTOR},
    "GET /v1/executors": {OPERATOR, VIEWER},
    "POST /v1/executors/<name>/drain": {OPERATOR},
    "POST /v1/executors/<name>/quarantine": {OPERATOR},
    "POST /v1/executors/<name>/resume": {OPERATOR},
    "GET /v1/queues": {OPERATOR, VIEWER},
    "PUT /v1/queues/<name>": {OPERATOR},
    "POST /v1/queues/<name>/pause": {OPERATOR},
    "POST /v1/queues/<name>/resume": {OPERATOR},
    "PUT /v1/workflows/<name>": {OPERATOR},
    "GET /v1/workflows": {OPERATOR, VIEWER},
    "GET /v1/workflows/<name>": {OPERATOR, VIEWER},
    "PUT /v1/schedules/<name>": {OPERATOR},
    "GET /v1/schedules": {OPERATOR, VIEWER},
    "GET /v1/schedules/<name>": {OPERATOR, VIEWER},
    "DELETE /v1/schedules/<name>": {OPERATOR},
    "GET /v1/audit": {OPERATOR, VIEWER},
    "POST /v1/schedules/<name>/run-now": {OPERATOR},
}

NEEDS_TOKEN = [route for route, roles in MAY.items() if roles]


def address(route):
    method, path = route.split(" ")
    path = path.replace("<run_id>", "01a20398-f4e1-7770-9bf5-9dee2154fafc").replace("<index>", "0")
    return method, path.replace("<instance>", "a").replace("<name>", "default")


def test_every_route_declares_what_the_contract_says(app):
    declared = {
        f"{method} {rule.rule}": set(roles_of(app.view_functions[rule.endpoint]))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
        # People's routes have a table of their own: test_page_declarations.py.
        if rule.endpoint.split(".")[0] not in ("pages", "front_door")
    }

    assert declared == MAY


@pytest.mark.parametrize("route", NEEDS_TOKEN)
@pytest.mark.parametrize("role", sorted(EVERYONE))
def test_a_role_gets_as_far_as_it_may(client, bearer, route, role):
    method, path = address(route)
    answer = client.open(path, method=method, headers=bearer(role))

    if role in MAY[route]:
        assert answer.status_code not in (401, 403)
    else:
        assert (answer.status_code, answer.json["code"]) == (403, "insufficient-scope")
        assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("route", NEEDS_TOKEN)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Bearer dibs_client_wrong"},
        {"X-Executor-Id": "executor"},
    ],
)
def test_nobody_gets_in_without_a_good_token(client, route, headers):
    method, path = address(route)
    answer = client.open(f"{path}?token=dibs_client_s3cret", method=method, headers=headers)

    assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "s3cret" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/", "/v1/runs/", "/v1//runs", "/v2/runs", "/V1/runs", "/static/docs.css",
     "/docs/../docs", "/v1/runs/%2e%2e", "/v1/queues/a%2fb/pause", "/.env"],
)  # fmt: skip
def test_an_unknown_path_is_a_problem(client, path, bearer):
    answer = client.get(path, headers=bearer("viewer"))

    assert answer.status_code == 404
    assert answer.json["code"] in ("not-found", "run-not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/claims", "POST"),
        ("DELETE", "/v1/runs", "GET, HEAD, POST"),
        ("OPTIONS", "/v1/runs", "GET, HEAD, POST"),
        ("TRACE", "/healthz", "GET, HEAD"),
        ("PATCH", "/v1/executors/a", "PUT"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(client, bearer, method, path, allowed):
    override = {"X-HTTP-Method-Override": "POST"}
    answer = client.open(path, method=method, headers=bearer("operator") | override)

    assert (answer.status_code, answer.json["code"]) == (405, "method-not-allowed")
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize(
    "environ",
    # The server's name for HTTP/1.0 is the second.
    [{"SERVER_PROTOCOL": "HTTP/1.0"}, {"SERVER_PROTOCOL": "HTTP/1"}, {"HTTP_HOST": ""}],
    ids=["HTTP/1.0", "HTTP/1", "no Host"],
)
def test_old_or_unaddressed_http_is_malformed(client, environ):
    answer = client.get("/v1/whoami", environ_overrides=environ)

    assert (answer.status_code, answer.json["code"]) == (400, "malformed-request")


def test_a_route_without_a_declaration_stops_the_service_from_starting():
    app = Flask("undeclared", static_folder=None)
    app.get("/said")(allow(frozenset(Role))(lambda: ""))
    require_declarations(app)
    app.get("/forgotten", endpoint="forgotten")(lambda: "")

    with pytest.raises(RuntimeError, match="/forgotten"):
        require_declarations(app)


@pytest.mark.parametrize(
    "run_id",
    [
        "1",
        "abc",
        "%00",
        "x" * 10_000,
        "' OR 1=1--",
        "01A20398-F4E1-7770-9BF5-9DEE2154FAFC",
        "{01a20398-f4e1-7770-9bf5-9dee2154fafc}",
        "urn:uuid:01a20398-f4e1-7770-9bf5-9dee2154fafc",
    ],
)
def test_an_id_in_another_form_is_a_run_that_is_not_there(client, bearer, run_id):
    answer = client.get(f"/v1/runs/{run_id}", headers=bearer("viewer"))

    assert (answer.status_code, answer.json["code"]) == (404, "run-not-found")


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x01b", "é"])
def test_a_key_that_cannot_be_kept_is_refused(client, bearer, key):
    headers = bearer("client") | {"Idempotency-Key": key}
    answer = client.post("/v1/runs", json={"workflow": "refund"}, headers=headers)

    assert (answer.status_code, answer.json["code"]) == (400, "idempotency-key-invalid")


def test_a_run_for_a_queue_outside_the_token_is_refused(client, bearer):
    answer = client.post(
        "/v1/runs", json={"workflow": "w", "queue": "secret"}, headers=bearer("client")
    )

    assert (answer.status_code, answer.json["code"]) == (403, "insufficient-scope")


def test_only_executors_speak_for_others(client, bearer):
    credential = bearer("operator")["Authorization"]
    answer = client.get("/v1/whoami", headers=bearer("client") | {"Dibs-On-Behalf-Of": credential})
    for_another = client.get(
        "/v1/whoami", headers=bearer("executor") | {"Dibs-On-Behalf-Of": credential}
    )
    for_nobody = client.get("/v1/whoami", headers=bearer("executor") | {"Dibs-On-Behalf-Of": "x"})

    assert answer.status_code == 403
    assert for_another.json["name"] == "operator"
    assert (for_nobody.status_code, for_nobody.json["credential"]) == (401, "on-behalf-of")
