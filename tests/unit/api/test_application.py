"""What Flask's long way does, the short one does as well, where anybody could tell."""

from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest
from flask import has_request_context
from flask.signals import request_started
from werkzeug.test import create_environ

from orchestrator.api.answer import answer
from orchestrator.api.application import Application
from orchestrator.api.call import PRESENT
from orchestrator.api.direct import direct
from orchestrator.api.problems import register_problems

ENOUGH_HOSTS = 100
REPORT = {
    "runId": str(uuid4()),
    "leaseId": str(uuid4()),
    "stepIndex": 0,
    "outcome": {"status": "success"},
}


@pytest.mark.parametrize("host", ["a..b", ".", "x" * 64 + ".example"])
def test_a_host_that_cannot_be_is_malformed_every_time(client, host):
    answers = [client.get("/healthz", environ_overrides={"HTTP_HOST": host}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].json["code"] == "malformed-request"


def test_every_other_host_is_served_however_many_there_are(client, bearer):
    for number in range(ENOUGH_HOSTS):
        host = {"HTTP_HOST": f"h{number}.example:8420"}

        assert client.get("/healthz", environ_overrides=host).status_code == 200
        run = client.get("/v1/runs/none", headers=bearer("viewer"), environ_overrides=host)
        assert run.json["code"] == "run-not-found"


@pytest.mark.parametrize("path", ["/healthz", "/v1/runs/none"])
def test_no_route_is_a_web_socket(client, bearer, path):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    answer = client.get(path, headers=bearer("viewer") | upgrade)

    assert (answer.status_code, answer.json["code"]) == (400, "malformed-request")


def test_one_thread_answers_one_request_after_another_with_ids_of_their_own(client, bearer):
    first = client.get("/healthz")
    refused = client.get("/nowhere", headers={"X-Request-Id": "mine"})
    last = client.get("/healthz")

    assert refused.headers["X-Request-Id"] == refused.json["requestId"] == "mine"
    assert len({answer.headers["X-Request-Id"] for answer in (first, refused, last)}) == 3


def test_an_answer_to_head_is_the_head_of_the_answer(client):
    answer = client.head("/healthz")

    assert answer.data == b""
    assert answer.headers["Content-Length"] == str(len(client.get("/healthz").data))


@pytest.mark.parametrize("path", ["/healthz", "/nowhere"])
def test_an_answer_goes_to_the_server_as_a_list_which_it_sends_at_once(app, path):
    # Whatever else iterates, the server sends piece by piece.
    environ = create_environ(path)
    environ["SERVER_PROTOCOL"] = "HTTP/1.1"

    assert type(app(environ, lambda *_: None)) is list


def test_hooks_are_called_when_there_are_any():
    app = Application("hooked", json_errors=False, enable_openapi=False)
    called = []
    app.before_request(lambda: called.append("before"))
    app.teardown_request(lambda _: called.append("teardown"))
    app.teardown_appcontext(lambda _: called.append("away"))

    @app.after_request
    def after(response):
        called.append("after")
        return response

    app.get("/x")(lambda: "answer")
    answer = app.test_client().get("/x")

    assert answer.text == "answer"
    assert called == ["before", "after", "teardown", "away"]
    assert answer.headers["X-Request-Id"]


@pytest.fixture
def flasks_way(app):
    """Whoever listens to Flask's signals has every request go Flask's own way."""

    @contextmanager
    def taken():
        heard = []

        def hear(*_, **__):
            heard.append(has_request_context())

        with request_started.connected_to(hear, app):
            yield
        assert heard == [True]

    return taken


REQUESTS = {
    "no-token": ("/v1/claims", {"token": None}),
    "another-role": ("/v1/claims", {"token": "viewer"}),
    "no-json": ("/v1/claims", {"data": b"{", "content_type": "application/json"}),
    "no-object": ("/v1/reports", {"json": []}),
    "no-media-type": ("/v1/claims", {"data": b"{}", "content_type": "text/plain"}),
    "no-members": ("/v1/reports", {"json": {}}),
    "unknown-member": ("/v1/leases/renew", {"json": {"x": 1}}),
    "bad-key": ("/v1/runs", {"token": "client", "headers": {"Idempotency-Key": ""}}),
    "too-large": ("/v1/claims", {"data": b" " * 300_000, "content_type": "application/json"}),
    "database-away": ("/v1/reports", {"json": {"session": str(uuid4()), "reports": [REPORT]}}),
    "own-id": ("/v1/claims", {"json": {}, "headers": {"X-Request-Id": "mine"}}),
    "odd-address": ("/v1/claims?x=1", {"json": {}}),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_direct_route_answers_as_by_flasks_way(client, bearer, flasks_way, request_):
    path, sent = request_
    sent = {"token": "executor", **sent}
    token = sent.pop("token")
    sent["headers"] = sent.pop("headers", {}) | (bearer(token) if token else {})

    directly = client.post(path, **sent)
    with flasks_way():
        by_flask = client.post(path, **sent)

    assert directly.status_code == by_flask.status_code >= 400
    assert list(directly.headers.keys()) == list(by_flask.headers.keys())
    told = [answered.json for answered in (directly, by_flask)]
    for body, answered in zip(told, (directly, by_flask), strict=True):
        assert body.pop("requestId") == answered.headers["X-Request-Id"]
        assert _is_its_id(answered.headers["X-Request-Id"], sent["headers"].get("X-Request-Id"))
    assert told[0] == told[1]


def _is_its_id(given, asked_for):
    return given == asked_for if asked_for else UUID(given).version == 7


@pytest.mark.parametrize("ask", ["get", "head", "put", "options"])
def test_a_direct_route_is_one_for_its_method_alone(client, ask):
    answered = getattr(client, ask)("/v1/claims")

    assert (answered.status_code, answered.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("host", ["a..b", ".", "x" * 64 + ".example"])
def test_a_host_that_cannot_be_is_malformed_on_a_direct_route(client, host):
    answer = client.post("/v1/claims", json={}, environ_overrides={"HTTP_HOST": host})

    assert (answer.status_code, answer.json["code"]) == (400, "malformed-request")


def test_a_direct_route_is_no_web_socket(client, bearer):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    answer = client.post("/v1/claims", json={}, headers=bearer("executor") | upgrade)

    assert (answer.status_code, answer.json["code"]) == (400, "malformed-request")


@pytest.mark.parametrize(
    ("path", "instance"),
    [("/v1/none", "/v1/none"), ("//v1/runs", "/v1/runs"), ("*", "/%2A"), ("/\xe9", "/%EF%BF%BD")],
)
def test_a_refusal_names_what_was_asked_for_as_a_path(client, path, instance):
    refused = client.get("/", environ_overrides={"PATH_INFO": path})

    assert refused.json["instance"] == instance


@pytest.fixture
def direct_app():
    """An application with one direct view, which says whether Flask made its context."""
    app = Application("direct", json_errors=False, enable_openapi=False)
    register_problems(app)

    @app.get("/x")
    @direct
    def tell():
        return answer({"context": has_request_context()})

    @app.get("/fails")
    @direct
    def fail():
        raise KeyError

    return app


def test_no_context_is_made_for_a_direct_view_and_none_is_left(direct_app):
    assert direct_app.test_client().get("/x").json == {"context": False}
    assert PRESENT.get(None) is None


def test_a_surprise_in_a_direct_view_is_an_internal_error(direct_app):
    answered = direct_app.test_client().get("/fails")

    assert (answered.status_code, answered.json["code"]) == (500, "internal-error")
    assert answered.json["requestId"] == answered.headers["X-Request-Id"]


@pytest.mark.parametrize("hook", ["before_request", "teardown_request", "teardown_appcontext"])
def test_hooks_are_called_for_a_direct_view_as_well(direct_app, hook):
    called = []
    getattr(direct_app, hook)(lambda *_: called.append(hook))

    assert direct_app.test_client().get("/x").json == {"context": True}
    assert called == [hook]


def test_an_answer_to_a_direct_view_goes_through_the_hooks_after_it(direct_app):
    called = []
    direct_app.after_request(lambda answered: called.append(answered) or answered)

    assert direct_app.test_client().get("/x").json == {"context": True}
    assert len(called) == 1
