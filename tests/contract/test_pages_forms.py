"""What a form may do, and that nothing else than a page's own form does it."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.lifecycle import Role
from orchestrator.pages.form import (
    FORM_LIMIT_BYTES,
    FORM_SECONDS,
    FORM_STEADY_SECONDS,
    TOKEN_FIELD,
)
from orchestrator.pages.seal import Seal
from orchestrator.pages.session import COOKIE, SESSION_SECONDS
from tests.acceptance.client import Client
from tests.acceptance.processes import SECRET_KEY
from tests.acceptance.stage import Stage
from tests.contract.browser import FORM_TYPE, Browser, forms_of

NOBODYS = "01890000-0000-7000-8000-0000000000ab"


@pytest.fixture
def operator(browser: Browser, stage: Stage) -> Browser:
    browser.sign_in(stage.tokens[Role.OPERATOR])
    return browser


@pytest.fixture
def run_id(web: Client, queue: str) -> str:
    return web.create(queue)


def session_id_of(browser: Browser) -> str:
    return browser.http.cookies[COOKIE].partition(".")[0]


def form_token(session_id: str, *, seconds: int) -> str:
    """What a page would have given a session, with so many seconds left."""
    return Seal(SECRET_KEY, f"form of the session {session_id}").put("form", seconds=seconds)


def test_an_abort_by_form_is_the_apis(
    operator: Browser, ops: Client, run_id: str, stage: Stage
) -> None:
    page = operator.open(f"/ui/runs/{run_id}")
    answer = operator.send(forms_of(page)["abort"], reason="  not <b>wanted</b>  ")
    [event] = [event for event in ops.events(run_id) if event["kind"] == "aborted"]

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/ui/runs/{run_id}")
    assert ops.run(run_id)["runState"] == "aborted"
    assert event["actor"] == Role.OPERATOR
    assert event["requestId"] == answer.headers["X-Request-Id"]
    assert event["detail"]["reason"] == "not <b>wanted</b>"
    assert event["detail"]["keyId"] == stage.tokens[Role.OPERATOR].split("_")[1]
    assert ops.ask("GET", "/v1/audit?limit=1")["items"][0]["subject"] == run_id
    assert "abort" not in forms_of(operator.open(f"/ui/runs/{run_id}"))


def test_a_form_that_is_sent_twice_is_done_once(
    operator: Browser, ops: Client, run_id: str
) -> None:
    form = forms_of(operator.open(f"/ui/runs/{run_id}"))["abort"]
    answers = [operator.send(form, reason="enough") for _ in range(2)]
    other = operator.send(form, reason="something else")

    assert [answer.status_code for answer in answers] == [303, 303]
    assert ops.kinds(run_id) == ["created", "aborted"]
    assert (other.status_code, "idempotency-key-reused" in other.text) == (422, True)


def test_the_holder_of_a_run_is_asked_to_stop(
    operator: Browser, ops: Client, holder: Client, run_id: str, queue: str
) -> None:
    holder.claim(queue)
    page = operator.open(f"/ui/runs/{run_id}")
    operator.send(forms_of(page)["abort"], reason="")
    after = operator.open(f"/ui/runs/{run_id}")

    assert Role.EXECUTOR in page.text
    assert ops.run(run_id)["abortRequestedAt"] is not None
    assert "Its abort was requested" in after.text
    assert "abort" not in forms_of(after)


TOKENS: dict[str, Callable[[Browser, Browser], dict[str, str]]] = {
    "none": lambda _own, _other: {},
    "empty": lambda _own, _other: {TOKEN_FIELD: ""},
    "made up": lambda _own, _other: {TOKEN_FIELD: "form.9999999999.AAAA"},
    "another session's": lambda _own, other: {
        TOKEN_FIELD: forms_of(other.open("/ui/access"))["sign-out"].fields[TOKEN_FIELD]
    },
    "too old": lambda own, _other: {TOKEN_FIELD: form_token(session_id_of(own), seconds=0)},
    "the cookie": lambda own, _other: {TOKEN_FIELD: own.http.cookies[COOKIE]},
    "under another name": lambda own, _other: {
        "token": forms_of(own.open("/ui/access"))["sign-out"].fields[TOKEN_FIELD]
    },
}


@pytest.mark.parametrize("case", TOKENS)
def test_a_form_that_no_page_made_for_this_session_does_nothing(
    operator: Browser,
    browsers: Callable[[], Browser],
    stage: Stage,
    ops: Client,
    run_id: str,
    case: str,
) -> None:
    other = browsers()
    other.sign_in(stage.tokens[Role.OPERATOR])
    form = forms_of(operator.open(f"/ui/runs/{run_id}"))["abort"]
    fields = form.fields | {TOKEN_FIELD: ""} | TOKENS[case](operator, other)
    if case == "none":
        del fields[TOKEN_FIELD]
    answer = operator.post(form.action, fields)

    assert (answer.status_code, "form-refused" in answer.text) == (403, True)
    assert "Open its page again" in answer.text
    assert ops.run(run_id)["runState"] == "pending"


def test_a_form_is_good_for_hours(operator: Browser, ops: Client, run_id: str) -> None:
    form = forms_of(operator.open(f"/ui/runs/{run_id}"))["abort"]
    ends_at = int(form.fields[TOKEN_FIELD].split(".")[1])
    answer = operator.send(form, **{TOKEN_FIELD: form_token(session_id_of(operator), seconds=60)})

    began = int(operator.http.cookies[COOKIE].split(".")[2]) - SESSION_SECONDS
    assert ends_at > began + FORM_SECONDS - FORM_STEADY_SECONDS - 9
    assert answer.status_code == 303


@pytest.mark.parametrize(
    "said",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "{url}"},
        {"Sec-Fetch-Site": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "{url}.evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": ""},
        {"Referer": "{url}/ui"},
        {},
    ],
    ids=str,
)
@pytest.mark.parametrize("page", ["abort", "sign-in"])
def test_a_form_that_another_sites_page_sent_does_nothing(
    operator: Browser, stage: Stage, ops: Client, run_id: str, said: dict[str, str], page: str
) -> None:
    form = forms_of(operator.open(f"/ui/runs/{run_id}"))["abort"]
    path, fields = {
        "abort": (form.action, form.fields),
        "sign-in": ("/ui/sign-in", {"token": stage.tokens[Role.OPERATOR]}),
    }[page]
    headers = {name: value.format(url=operator.url) for name, value in said.items()}
    answer = operator.post(path, fields, {"Content-Type": FORM_TYPE, **headers})

    assert (answer.status_code, "form-refused" in answer.text) == (403, True)
    assert "Set-Cookie" not in answer.headers
    assert ops.run(run_id)["runState"] == "pending"


def test_a_browser_that_says_only_the_origin_is_believed(
    operator: Browser, ops: Client, run_id: str
) -> None:
    form = forms_of(operator.open(f"/ui/runs/{run_id}"))["abort"]
    headers = {"Content-Type": FORM_TYPE, "Origin": operator.url}

    assert operator.post(form.action, form.fields, headers).status_code == 303
    assert ops.run(run_id)["runState"] == "aborted"


BODIES: dict[str, tuple[dict[str, Any], int, str]] = {
    "JSON": ({"content": b"{}", "type": "application/json"}, 400, "malformed-request"),
    "plain text": ({"type": "text/plain"}, 400, "malformed-request"),
    "multipart": ({"type": "multipart/form-data; boundary=x"}, 400, "malformed-request"),
    "no type": ({"type": ""}, 400, "malformed-request"),
    "empty": ({"content": b""}, 403, "form-refused"),
    "a field twice": ({"more": b"&reason=a&reason=b"}, 400, "malformed-request"),
    "too many fields": ({"more": b"&a=" * 40}, 400, "malformed-request"),
    "no pairs": ({"more": b"&reason"}, 400, "malformed-request"),
    "no UTF-8": ({"more": b"&reason=%ff%fe"}, 400, "malformed-request"),
    "raw bytes": ({"more": b"&reason=\xff"}, 400, "malformed-request"),
    "NUL": ({"more": b"&reason=a%00b"}, 422, "unsupported-character"),
    "a long reason": ({"more": b"&reason=" + b"x" * 8_001}, 422, "validation"),
    "too large": ({"more": b"&reason=" + b"x" * FORM_LIMIT_BYTES}, 413, "payload-too-large"),
    "no key": ({"without": "key"}, 400, "malformed-request"),
    "another key": ({"key": "X" * 36}, 400, "malformed-request"),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_form_is_read_strictly(operator: Browser, ops: Client, run_id: str, case: str) -> None:
    changes, status, code = BODIES[case]
    form = forms_of(operator.open(f"/ui/runs/{run_id}"))["abort"]
    fields = {name: value for name, value in form.fields.items() if name != "reason"}
    fields |= {"key": changes["key"]} if "key" in changes else {}
    fields.pop(changes.get("without", ""), None)
    content = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    answer = operator.http.post(
        form.action,
        content=changes.get("content", content + changes.get("more", b"")),
        headers={"Sec-Fetch-Site": "same-origin", "Content-Type": changes.get("type", FORM_TYPE)},
    )

    assert (answer.status_code, code in answer.text) == (status, True), answer.text
    assert ops.run(run_id)["runState"] == "pending"


def test_a_chunked_form_is_cut_off(operator: Browser, ops: Client, run_id: str) -> None:
    form = forms_of(operator.open(f"/ui/runs/{run_id}"))["abort"]
    answer = operator.http.post(
        form.action,
        content=iter([b"reason=", b"x" * FORM_LIMIT_BYTES]),
        headers={"Sec-Fetch-Site": "same-origin", "Content-Type": FORM_TYPE},
    )

    assert answer.status_code == 413
    assert ops.run(run_id)["runState"] == "pending"


def test_a_viewer_sees_no_act_and_does_none(
    browser: Browser, stage: Stage, ops: Client, run_id: str
) -> None:
    browser.sign_in(stage.tokens[Role.VIEWER])
    page = browser.open(f"/ui/runs/{run_id}")
    fields = forms_of(page)["sign-out"].fields | {"reason": "", "key": NOBODYS}
    answer = browser.post(f"/ui/runs/{run_id}/abort", fields)

    assert "abort" not in forms_of(page)
    assert (answer.status_code, "insufficient-scope" in answer.text) == (403, True)
    assert ops.run(run_id)["runState"] == "pending"


def test_without_a_session_a_form_leads_to_the_way_in(
    browser: Browser, ops: Client, run_id: str
) -> None:
    answer = browser.post(f"/ui/runs/{run_id}/abort", {"key": NOBODYS, "reason": ""})

    assert answer.status_code == 401
    assert forms_of(answer)["sign-in"].action == "/ui/sign-in?next=/ui"
    assert ops.run(run_id)["runState"] == "pending"
