"""What the edge gives to the application, and to the server."""

import os

import pytest

from orchestrator.api.slow_bodies import SlowBodies, TimedBody
from orchestrator.edge import Edge


class Connection:
    """The server's side of one request: what it was given to send."""

    def response_bytes(self, status, headers, body):
        self.told = (status, headers, body)

    def response_iter(self, status, headers, body):
        self.told = (status, headers, b"|".join(body))


class Application:
    """Answers anything, and keeps what it was asked with."""

    def __init__(self, body):
        self.body = body

    def __call__(self, environ, start_response):
        self.environ = environ
        start_response("200 OK", [("X-Own", "1")])
        return self.body


@pytest.fixture
def ask():
    """Ask an application through the edge; what it saw, and what was sent."""

    def ask(body=(b"a", b"b"), kind=list, path="/v1/runs", **environ):
        application, connection = Application(kind(body)), Connection()
        asked = {"PATH_INFO": path, "wsgi.input": object(), **environ}
        Edge(application, SlowBodies(at_once=1))(connection, asked)
        return application.environ, connection.told

    return ask


def test_a_request_knows_nothing_of_the_processs_environment(ask, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:canary@h/d")
    environ, _ = ask()

    assert os.environ.keys().isdisjoint(environ)
    assert "canary" not in repr(environ)


def test_a_whole_answer_is_sent_at_once_and_any_other_piece_by_piece(ask):
    assert ask(kind=list)[1][2] == b"ab"
    assert ask(kind=iter)[1][2] == b"a|b"


@pytest.mark.parametrize("kind", [list, iter])
def test_every_answer_has_the_headers_that_all_have(ask, kind):
    of_the_api, of_a_page = (
        dict(ask(kind=kind, path=path)[1][1]) for path in ("/v1/runs", "/docs")
    )

    assert of_the_api == {
        "X-Own": "1",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    assert of_a_page == {
        name: value for name, value in of_the_api.items() if name != "Cache-Control"
    }


def test_a_body_is_timed_where_there_is_one(ask):
    without, _ = ask()
    sized, (_, of_sized, _) = ask(CONTENT_LENGTH="2")
    chunked, (_, of_chunked, _) = ask(HTTP_TRANSFER_ENCODING="chunked")

    assert not isinstance(without["wsgi.input"], TimedBody)
    assert isinstance(sized["wsgi.input"], TimedBody)
    assert isinstance(chunked["wsgi.input"], TimedBody)
    assert ("Connection", "close") not in of_sized
    assert ("Connection", "close") in of_chunked
