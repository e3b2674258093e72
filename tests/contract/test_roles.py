"""Who may use which route: the table of api.md, walked over all routes there are."""

import re

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json

VIEWER, CLIENT, EXECUTOR, OPERATOR = Role.VIEWER, Role.CLIENT, Role.EXECUTOR, Role.OPERATOR

OPEN: set[Role] = set()
EVERYONE = set(Role)

# "viewer: every GET, metrics. client: create, read, resume, abort, retry runs of its queues.
# executor: claims, leases, reports, step start, its own registration, whoami, read runs of its
# queues. operator: everything but the executor's verbs."
ROLES: dict[tuple[str, str], set[Role]] = {
    ("POST", "/v1/runs"): {CLIENT, OPERATOR},
    ("POST", "/v1/runs/batch"): {CLIENT, OPERATOR},
    ("GET", "/v1/runs"): EVERYONE,
    ("GET", "/v1/runs/{run_id}"): EVERYONE,
    ("GET", "/v1/runs/{run_id}/events"): EVERYONE,
    ("GET", "/v1/runs/{run_id}/refusals"): EVERYONE,
    ("GET", "/v1/runs/{run_id}/steps"): EVERYONE,
    ("GET", "/v1/runs/{run_id}/explain"): EVERYONE,
    ("POST", "/v1/runs/{run_id}/resume"): {CLIENT, OPERATOR},
    ("POST", "/v1/runs/{run_id}/abort"): {CLIENT, OPERATOR},
    ("POST", "/v1/runs/{run_id}/retry"): {CLIENT, OPERATOR},
    ("POST", "/v1/runs/{run_id}/resolve"): {OPERATOR},
    ("POST", "/v1/bulk/abort"): {CLIENT, OPERATOR},
    ("POST", "/v1/bulk/retry"): {CLIENT, OPERATOR},
    ("POST", "/v1/claims"): {EXECUTOR},
    ("POST", "/v1/runs/{run_id}/claim"): {EXECUTOR},
    ("POST", "/v1/leases/renew"): {EXECUTOR},
    ("POST", "/v1/leases/release"): {EXECUTOR},
    ("POST", "/v1/reports"): {EXECUTOR},
    ("POST", "/v1/runs/{run_id}/steps/{index}/start"): {EXECUTOR},
    ("PUT", "/v1/executors/{instance}"): {EXECUTOR},
    ("GET", "/v1/executors"): {VIEWER, OPERATOR},
    ("POST", "/v1/executors/{name}/drain"): {OPERATOR},
    ("POST", "/v1/executors/{name}/quarantine"): {OPERATOR},
    ("POST", "/v1/executors/{name}/resume"): {OPERATOR},
    ("GET", "/v1/queues"): {VIEWER, OPERATOR},
    ("PUT", "/v1/queues/{name}"): {OPERATOR},
    ("POST", "/v1/queues/{name}/pause"): {OPERATOR},
    ("POST", "/v1/queues/{name}/resume"): {OPERATOR},
    ("PUT", "/v1/workflows/{name}"): {OPERATOR},
    ("GET", "/v1/workflows"): {VIEWER, OPERATOR},
    ("GET", "/v1/workflows/{name}"): {VIEWER, OPERATOR},
    ("PUT", "/v1/schedules/{name}"): {OPERATOR},
    ("GET", "/v1/schedules"): {VIEWER, OPERATOR},
    ("GET", "/v1/schedules/{name}"): {VIEWER, OPERATOR},
    ("DELETE", "/v1/schedules/{name}"): {OPERATOR},
    ("POST", "/v1/schedules/{name}/run-now"): {OPERATOR},
    ("GET", "/v1/audit"): {VIEWER, OPERATOR},
    ("GET", "/v1/whoami"): EVERYONE,
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/metrics"): {VIEWER, OPERATOR},
}
# Open too, and not described: they are the description.
DESCRIPTION = ("/openapi.json", "/docs", "/docs/style.css")

# For these, something that no route has: what is asked for must not matter.
SOMETHING = {
    "run_id": "01890000-0000-7000-8000-000000000000",
    "index": "0",
    "instance": "nobody",
    "name": "nobody",
}
ROUTES = sorted(ROLES)


def path_of(route: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: SOMETHING[found[1]], route)


def described(document: Json) -> dict[tuple[str, str], Json]:
    """Every operation of the document, with parameters named as here."""
    return {
        (method.upper(), path.replace("{step_index}", "{index}")): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def test_the_document_describes_these_routes_and_no_others(document: Json) -> None:
    assert described(document).keys() == ROLES.keys()


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_the_document_names_the_roles_of_a_route(document: Json, method: str, route: str) -> None:
    operation = described(document)[method, route]

    assert set(operation.get("x-roles", [])) == {role.value for role in ROLES[method, route]}
    assert bool(operation["security"]) == bool(ROLES[method, route])


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_a_route_lets_in_the_roles_of_the_table_and_no_others(
    callers: dict[Role, Client], method: str, route: str, role: Role
) -> None:
    answer = callers[role].send(method, path_of(route), None if method == "GET" else {})

    may = ROLES[method, route]
    refused = answer.status_code == 403
    assert answer.status_code < 500
    assert answer.status_code != 401
    assert refused == bool(may and role not in may), answer.text
    if refused:
        assert answer.json()["code"] == "insufficient-scope"


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_without_a_token_only_the_open_routes_answer(
    nobody: Client, method: str, route: str
) -> None:
    answer = nobody.send(method, path_of(route), None if method == "GET" else {})

    if ROLES[method, route]:
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    else:
        assert answer.status_code == 200


@pytest.mark.parametrize("path", DESCRIPTION)
def test_the_description_is_open(nobody: Client, path: str) -> None:
    assert nobody.send("GET", path).status_code == 200


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_a_route_refuses_other_methods_and_names_its_own(
    ops: Client, method: str, route: str
) -> None:
    path = path_of(route)
    known = {m for m, r in ROLES if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", r), path)}
    for other in {"GET", "POST", "PUT", "DELETE", "PATCH"} - known:
        answer = ops.send(other, path)

        assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")
        assert known <= set(re.split(r", *", answer.headers["Allow"]))
