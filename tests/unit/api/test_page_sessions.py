"""Sessions and refusals where a clock, or a service that is away, decides."""

from dataclasses import replace

import pytest

from orchestrator.api.context import EXTENSION, services_of
from orchestrator.api.page_policy import PAGES
from orchestrator.api.request_budgets import RequestBudgets
from orchestrator.api.tokens import Tokens
from orchestrator.pages.seal import Seal
from orchestrator.pages.session import COOKIE, SESSION_SECONDS

KEY = "k" * 32
BROWSER = {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8420"}
NOW = 1_800_000_000


@pytest.fixture
def cookie(client):
    """Put a session into the client that has so many seconds left."""
    return lambda seconds: client.set_cookie(
        COOKIE, Seal(KEY, "dibs session").put("0123.viewer", seconds=seconds), path="/ui"
    )


# Who is let in is told that there is no database here.
@pytest.mark.parametrize(("left", "status"), [(60, 503), (0, 401), (-60, 401)])
def test_a_session_is_over_when_its_time_is(client, cookie, left, status):
    cookie(left)

    assert client.get("/ui").status_code == status


def test_a_session_lasts_twelve_hours():
    assert SESSION_SECONDS == 12 * 60 * 60


def test_what_is_sealed_is_read_until_its_end_and_also_by_a_clock_that_is_behind():
    sealed = Seal(KEY, "a", lambda: NOW).put("text.with.dots", seconds=10)

    assert Seal(KEY, "a", lambda: NOW - 3600).read(sealed) == "text.with.dots"
    assert Seal(KEY, "a", lambda: NOW + 9.9).read(sealed) == "text.with.dots"
    assert Seal(KEY, "a", lambda: NOW + 10).read(sealed) is None


@pytest.mark.parametrize("other", [Seal(KEY, "b", lambda: NOW), Seal("K" * 32, "a", lambda: NOW)])
def test_what_is_sealed_for_another_purpose_or_by_another_key_is_not_read(other):
    sealed = Seal(KEY, "a", lambda: NOW).put("text", seconds=10)

    assert other.read(sealed) is None


@pytest.mark.parametrize(
    "sealed", ["", ".", "..", "text", "a.b.c", "é", "text.1800000010.AAAA", "\0"]
)
def test_what_was_not_sealed_is_not_read(sealed):
    assert Seal(KEY, "a", lambda: NOW).read(sealed) is None


def test_a_page_says_when_to_ask_again_while_the_database_is_away(client, cookie):
    cookie(60)
    answer = client.get("/ui/access")

    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Content-Security-Policy"] == PAGES
    assert "Try again in 1 s." in answer.text


@pytest.mark.parametrize("path", ["/ui", "/ui/sign-in"])
def test_a_page_says_when_to_ask_again_when_asked_too_often(app, client, cookie, path):
    budgets = {
        "token_budgets": RequestBudgets(1, burst=1),
        "failed_credentials": RequestBudgets(1, burst=1),
    }
    before = services_of(app)
    app.extensions[EXTENSION] = replace(before, **budgets)
    try:
        cookie(60)
        if path == "/ui":
            answers = [client.get(path) for _ in range(2)]
        else:
            bad = {"token": "dibs_nobody_secret"}
            answers = [client.post(path, data=bad, headers=BROWSER) for _ in range(2)]
    finally:
        app.extensions[EXTENSION] = before

    assert [answer.status_code for answer in answers] == [503 if path == "/ui" else 401, 429]
    assert answers[1].mimetype == "text/html"
    assert answers[1].headers["Retry-After"] == "1"
    assert answers[1].headers["RateLimit-Limit"] == "1"
    assert "Try again in 1 s." in answers[1].text


def test_a_page_that_fails_says_nothing_but_its_request_id(app, client, cookie):
    def fail():
        raise KeyError("secret")

    before = services_of(app)
    app.extensions[EXTENSION] = replace(before, tokens=Tokens(fail))
    try:
        cookie(60)
        answer = client.get("/ui")
    finally:
        app.extensions[EXTENSION] = before

    assert (answer.status_code, answer.mimetype) == (500, "text/html")
    assert "secret" not in answer.text
    assert answer.headers["X-Request-Id"] in answer.text


def test_a_page_that_is_not_there_is_said_so_in_html(client):
    answer = client.get("/ui/nowhere")

    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert answer.headers["Content-Security-Policy"] == PAGES


def test_without_a_session_a_page_is_the_way_in(client):
    answer = client.get("/ui/access")

    assert (answer.status_code, answer.mimetype) == (401, "text/html")
    assert "WWW-Authenticate" in answer.headers
    assert 'action="/ui/sign-in?next=/ui/access"' in answer.text


def test_a_cookie_that_is_no_text_is_nobodys(app):
    client = app.test_client(use_cookies=False)
    answered = client.get("/ui", environ_overrides={"HTTP_COOKIE": "dibs_session=\xff\xfe"})

    assert answered.status_code == 401
