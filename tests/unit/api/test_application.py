"""What Flask's long way does, the short one does as well, where anybody could tell."""

import pytest
from werkzeug.test import create_environ

from orchestrator.api.application import Application

ENOUGH_HOSTS = 100


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
