"""The served contract is whole: every route, every reference, every problem."""

import re
from functools import reduce
from pathlib import Path

import pytest

from orchestrator.api import docs
from orchestrator.api.access import roles_of


def references(node):
    if isinstance(node, dict):
        for name, member in node.items():
            if name == "$ref":
                yield member
            else:
                yield from references(member)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def test_every_route_is_in_the_document_with_its_roles(app, client):
    document = client.get("/openapi.json").json
    expected = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower()): sorted(
            roles_of(app.view_functions[rule.endpoint])
        )
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
        if rule.endpoint.split(".")[0] not in ("docs", "pages", "front_door")
    }

    assert document["openapi"].startswith("3.1")
    assert {
        (path, method): operation.get("x-roles", [])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    } == expected


def resolved(document, reference):
    return reduce(dict.__getitem__, reference.removeprefix("#/").split("/"), document)


def test_every_reference_leads_somewhere(client):
    document = client.get("/openapi.json").json

    assert all(resolved(document, reference) for reference in references(document))


def test_every_answer_but_the_servers_own_carries_the_request_id(client):
    document = client.get("/openapi.json").json
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                whole = resolved(document, answer["$ref"]) if "$ref" in answer else answer

                assert ("X-Request-Id" in whole.get("headers", {})) == (status != "431"), (
                    method,
                    path,
                    status,
                )


def test_a_path_with_a_parameter_may_be_none(client):
    for path, operations in client.get("/openapi.json").json["paths"].items():
        for operation in operations.values():
            missing = operation["responses"].get("404", {}).get("description", "")

            assert ("not-found" in missing.split(", ")) == ("{" in path), path


def test_every_operation_has_a_success_and_its_problems(client):
    for path, operations in client.get("/openapi.json").json["paths"].items():
        for method, operation in operations.items():
            statuses = set(operation["responses"])

            assert statuses & {"200", "201", "204"}, (method, path)
            assert not operation["security"] or {"401", "403", "429", "503"} <= statuses, (
                method,
                path,
            )
            assert "requestBody" not in operation or {"400", "413", "415", "422"} <= statuses


def test_too_many_requests_have_their_headers_in_the_document(client):
    document = client.get("/openapi.json").json
    refused = {
        operation["responses"]["429"]["$ref"]
        for operations in document["paths"].values()
        for operation in operations.values()
        if operation["security"]
    }

    assert refused == {"#/components/responses/TooOften"}
    assert document["components"]["responses"]["TooOften"]["headers"].keys() == {
        "X-Request-Id",
        "Retry-After",
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "RateLimit-Reset",
    }


def test_what_may_be_left_out_and_what_a_header_does_is_in_the_document(client):
    paths = client.get("/openapi.json").json["paths"]
    headers = {
        path
        for path, operations in paths.items()
        for operation in operations.values()
        for parameter in operation["parameters"]
        if parameter["in"] == "header"
    }

    assert paths["/v1/runs"]["post"]["requestBody"]["required"]
    assert not paths["/v1/runs/{run_id}/abort"]["post"]["requestBody"]["required"]
    assert headers == {
        "/v1/runs",
        "/v1/whoami",
        "/v1/schedules/{name}/run-now",
        "/v1/bulk/abort",
        "/v1/bulk/retry",
        *(f"/v1/runs/{{run_id}}/{act}" for act in ("claim", "abort", "retry", "resume", "resolve")),
    }


def test_every_request_that_changes_something_says_how_it_repeats(client):
    for path, operations in client.get("/openapi.json").json["paths"].items():
        for method, operation in operations.items():
            way = operation.get("x-repeatable")
            headers = {p["name"] for p in operation["parameters"] if p["in"] == "header"}

            assert (way is None) == (method == "get"), (method, path)
            assert way in (None, "requestId", "idempotency-key", "natural"), (method, path)
            assert way is None or "Repeatable. " in operation["description"], (method, path)
            assert "Idempotency-Key" not in headers or way == "idempotency-key", (method, path)


def test_the_page_says_how_a_request_repeats(client):
    page = client.get("/docs").text

    assert "With an Idempotency-Key a repeat gets the run of the first one" in page
    assert "Under the same lease a step begins once" in page


def test_the_page_needs_nothing_from_elsewhere(client):
    page = client.get("/docs")

    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert re.findall(r"(?:src|href)=\"(?!/|#)[^\"]*", page.text) == []
    assert "<script" not in page.text
    assert client.get("/docs/style.css").mimetype == "text/css"


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/style.css"])
def test_what_anybody_may_ask_for_is_made_once(client, monkeypatch, path):
    first = client.get(path)
    for maker in ("render_template", "to_json"):
        monkeypatch.delattr(docs, maker)
    monkeypatch.setattr(docs, "_STYLE", Path("nowhere"))

    assert client.get(path).data == first.data != b""
