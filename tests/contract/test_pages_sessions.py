"""Signing in: what the cookie is, what it is not, and when a session is over."""

import re
from collections.abc import Callable
from typing import Any

import httpx2
import psycopg
import pytest

from orchestrator.lifecycle import Role
from orchestrator.pages.seal import Seal
from orchestrator.pages.session import COOKIE, SESSION_SECONDS
from tests.acceptance.client import Client
from tests.acceptance.stage import Stage, make_token
from tests.acceptance.waiting import eventually
from tests.contract.browser import SIGN_IN, Browser, forms_of

END = "/ui/access"


def secret_of(token: str) -> str:
    return token.split("_", 2)[2]


def without_request_id(page: httpx2.Response) -> str:
    return page.text.replace(page.headers["X-Request-Id"], "")


def test_the_cookie_is_for_pages_only_and_does_not_hold_the_token(
    browser: Browser, stage: Stage
) -> None:
    token = stage.tokens[Role.VIEWER]
    answer = browser.sign_in(token)
    said = answer.headers["Set-Cookie"]
    name, *attributes = said.split("; ")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui")
    assert name.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/ui", f"Max-Age={SESSION_SECONDS}"} <= {*attributes}
    assert not {attribute for attribute in attributes if attribute.startswith(("Secure", "Domain"))}
    assert secret_of(token) not in said
    assert secret_of(token) not in browser.open(END).text


@pytest.mark.parametrize(
    "headers",
    [
        # A proxy with TLS in front, which leaves the Host or puts its own there.
        {"Origin": "https://dibs.example", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://dibs.example", "Host": "dibs.example"},
        {"Origin": "https://127.0.0.1", "Host": "127.0.0.1"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
def test_the_cookie_is_secure_unless_the_browser_speaks_to_its_own_machine(
    browser: Browser, stage: Stage, headers: dict[str, str]
) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = browser.post(SIGN_IN, {"token": stage.tokens[Role.VIEWER]}, headers | form)

    assert answer.status_code == 303
    assert "Secure" in answer.headers["Set-Cookie"].split("; ")


def test_nobody_signs_in_over_the_network_in_clear_text(browser: Browser, stage: Stage) -> None:
    headers = {
        "Origin": "http://dibs.example:8420",
        "Host": "dibs.example:8420",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    answer = browser.post(SIGN_IN, {"token": stage.tokens[Role.VIEWER]}, headers)

    assert (answer.status_code, "form-refused" in answer.text) == (403, True)
    assert "https" in answer.text
    assert "Set-Cookie" not in answer.headers


def test_the_api_never_accepts_the_cookie(browser: Browser, stage: Stage) -> None:
    browser.sign_in(stage.tokens[Role.OPERATOR])
    cookie = browser.http.cookies[COOKIE]
    for credential in (
        {"Cookie": f"{COOKIE}={cookie}"},
        {"Authorization": f"Bearer {cookie}"},
        {"Authorization": f"Bearer dibs_{cookie}"},
        {"Authorization": f"Bearer dibs_{cookie.replace('.', '_')}"},
    ):
        for method, path in (("GET", "/v1/whoami"), ("GET", "/v1/runs"), ("POST", "/v1/runs")):
            answer = browser.http.request(method, path, headers=credential)

            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_a_page_never_accepts_a_bearer(browser: Browser, stage: Stage) -> None:
    token = {"Authorization": f"Bearer {stage.tokens[Role.OPERATOR]}"}

    assert browser.http.get(END, headers=token).status_code == 401


def test_every_token_that_is_not_good_is_refused_alike(
    browser: Browser, stage: Stage, owner: psycopg.Connection[Any], queue: str
) -> None:
    good = stage.tokens[Role.OPERATOR]
    revoked = make_token(stage.database, f"revoked-{queue}", Role.OPERATOR)
    expired = make_token(stage.database, f"expired-{queue}", Role.OPERATOR)
    owner.execute(
        'UPDATE "accessTokens" SET "revokedAt" = clock_timestamp() WHERE name = %s',
        [f"revoked-{queue}"],
    )
    owner.execute(
        'UPDATE "accessTokens" SET "expiresAt" = clock_timestamp() WHERE name = %s',
        [f"expired-{queue}"],
    )
    bad = [
        f"{good[:-1]}{'a' if good[-1] != 'a' else 'b'}",
        f"dibs_0123456789abcdef_{secret_of(good)}",
        revoked,
        expired,
        "",
        "hello",
        f"Bearer {good}",
        f"{good} {good}",
        "dibs_é_ü",
        "<script>alert(1)</script>",
    ]
    answers = [browser.sign_in(token) for token in bad]

    assert {answer.status_code for answer in answers} == {401}
    assert len({without_request_id(answer) for answer in answers}) == 1
    assert not [answer for answer in answers if "Set-Cookie" in answer.headers]
    assert "This token is not valid." in answers[0].text


@pytest.mark.parametrize("role", [Role.CLIENT, Role.EXECUTOR])
def test_a_programs_token_does_not_sign_in(browser: Browser, stage: Stage, role: Role) -> None:
    answer = browser.sign_in(stage.tokens[role])

    assert (answer.status_code, "insufficient-scope" in answer.text) == (403, True)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("how", ['"revokedAt" = clock_timestamp()', '"expiresAt" = "createdAt"'])
def test_a_session_is_over_within_a_second_of_its_token(
    browser: Browser, stage: Stage, owner: psycopg.Connection[Any], queue: str, how: str
) -> None:
    name = f"leaver-{queue}"
    browser.sign_in(make_token(stage.database, name, Role.OPERATOR))
    before = browser.open(END).status_code
    owner.execute(f'UPDATE "accessTokens" SET {how} WHERE name = %s'.encode(), [name])

    eventually(lambda: browser.open(END).status_code == 401, within_seconds=1.5)
    assert before == 200


def test_no_cookie_but_the_one_we_made_is_a_session(
    browser: Browser, browsers: Callable[[], Browser], stage: Stage
) -> None:
    token = stage.tokens[Role.OPERATOR]
    key_id = token.split("_")[1]
    browser.sign_in(token)
    good = browser.http.cookies[COOKIE]
    session_id, named, ends_at, signature = good.split(".")
    made_up = [
        "",
        "x",
        "....",
        token,
        f"{session_id}.{named}.{ends_at}",
        f"{session_id}.{named}.{ends_at}.{signature[:-2]}",
        f"{session_id}.{named}.{int(ends_at) + 1}.{signature}",
        f"{session_id}x.{named}.{ends_at}.{signature}",
        f"{session_id}.{key_id[::-1]}.{ends_at}.{signature}",
        Seal("another key of another service", "dibs session").put(
            f"{session_id}.{named}", seconds=SESSION_SECONDS
        ),
        forms_of(browser.open(END))["sign-out"].fields["form-token"],
    ]
    stranger = browsers()
    statuses = [
        stranger.http.get(END, headers={"Cookie": f"{COOKIE}={cookie}"}).status_code
        for cookie in [*made_up, good]
    ]

    assert statuses == [401] * len(made_up) + [200]


def test_signing_out_takes_the_cookie_away(browser: Browser, stage: Stage) -> None:
    browser.sign_in(stage.tokens[Role.VIEWER])
    answer = browser.send(forms_of(browser.open(END))["sign-out"])

    assert (answer.status_code, answer.headers["Location"]) == (303, SIGN_IN)
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert "Path=/ui" in answer.headers["Set-Cookie"]
    assert browser.open(END).status_code == 401


@pytest.mark.parametrize(
    ("opened", "led_to"),
    [
        ("/ui/access", "/ui/access"),
        ("/ui/runs?id=x", "/ui/runs?id=x"),
        ("/ui/sign-in?next=/ui/access", "/ui/access"),
        ("/ui/sign-in?next=//evil.example/ui", "/ui"),
        ("/ui/sign-in?next=https://evil.example/ui", "/ui"),
        ("/ui/sign-in?next=/\\evil.example", "/ui"),
        ("/ui/sign-in?next=/ui\\..\\..\\x", "/ui"),
        ("/ui/sign-in?next=/uix.example", "/ui"),
        ("/ui/sign-in?next=/ui/../../x", "/ui"),
        ("/ui/sign-in?next=/ui/%252e%252E/x", "/ui"),
        ("/ui/sign-in?next=/ui/%0d%0aSet-Cookie:x", "/ui"),
        ("/ui/sign-in?next=javascript:alert(1)", "/ui"),
    ],
)
def test_signing_in_leads_to_what_was_asked_for_here_and_nowhere_else(
    browser: Browser, stage: Stage, opened: str, led_to: str
) -> None:
    answer = browser.sign_in(stage.tokens[Role.VIEWER], opened)

    assert (answer.status_code, answer.headers["Location"]) == (303, led_to)
    assert len(answer.headers.get_list("Set-Cookie")) == 1


def test_no_token_that_signs_in_is_logged(browser: Browser, stage: Stage) -> None:
    token = stage.tokens[Role.VIEWER]
    browser.sign_in(token)
    browser.sign_in(f"{token}x")
    browser.open(END)
    log = stage.orchestrator.log_file.read_text()

    assert stage.orchestrator.said("signed_in")[-1]["actor"] == Role.VIEWER
    assert secret_of(token) not in log
    assert browser.http.cookies[COOKIE] not in log


@pytest.mark.parametrize("path", ["/", "/ui/"])
def test_the_front_door_leads_to_the_pages(nobody: Client, path: str) -> None:
    answer = nobody.send("GET", path)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui")
    assert re.search(
        r'<form method="post" action="/ui/sign-in\?next=', nobody.send("GET", "/ui").text
    )
