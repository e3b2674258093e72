"""The page of executors: who is shown to whom, and what an operator's form does."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json
from tests.acceptance.stage import Stage, make_token
from tests.contract.browser import Browser, Form, form_at
from tests.contract.test_pages_content import INLINE, NASTY

PATH = "/ui/executors"


@pytest.fixture
def operator(browser: Browser, stage: Stage) -> Browser:
    browser.sign_in(stage.tokens[Role.OPERATOR])
    return browser


@pytest.fixture
def registered(holder: Client, queue: str) -> Callable[..., str]:
    """An executor of these queues, or of the test's own; its full name."""

    def register(*queues: str, session: str | None = None, **members: object) -> str:
        body = {"session": session or str(uuid4()), "queues": [*(queues or (queue,))], **members}
        return str(holder.ask("PUT", f"/v1/executors/of-{queue}", body)["name"])

    return register


def of_api(ops: Client, name: str) -> Json:
    items = ops.ask("GET", "/v1/executors")["items"]
    return next(dict(item) for item in items if item["name"] == name)


def form_of(browser: Browser, name: str) -> Form | None:
    return form_at(browser.open(PATH), f"{PATH}/{name}/service")


def test_an_executor_is_shown_as_the_api_has_it(
    operator: Browser, web: Client, holder: Client, queue: str, registered: Callable[..., str]
) -> None:
    session = str(uuid4())
    name = registered(session=session, slots=7, version="1.2.3-rc", stepTypes=["charge-card"])
    web.create(queue)
    holder.claim(queue, session=session, executor=f"of-{queue}")
    page = operator.open(PATH).text

    for said in (name, queue, "1.2.3-rc", "charge-card", "1 of 7", 'value="1"', 'max="7"'):
        assert said in page
    assert f'href="/ui/runs?search=executor:{name}"' in page
    assert 'data-late="30" data-toolate="90"' in page
    assert not INLINE.search(page)


def test_a_drain_by_form_is_the_apis(
    operator: Browser, ops: Client, registered: Callable[..., str]
) -> None:
    name = registered()
    form = form_of(operator, name)
    assert form is not None
    answer = operator.send(form, service="draining", reason="  for a <b>patch</b> ")
    [line] = ops.ask("GET", f"/v1/audit?subject={name}")["items"]
    page = operator.open(PATH).text

    assert (answer.status_code, answer.headers["Location"]) == (303, f"{PATH}#executor-{name}")
    assert of_api(ops, name)["state"] == "draining"
    assert of_api(ops, name)["reason"] == "for a <b>patch</b>"
    assert (line["kind"], line["actor"]) == ("drain-executor", Role.OPERATOR)
    assert line["requestId"] == answer.headers["X-Request-Id"]
    assert "for a &lt;b&gt;patch&lt;/b&gt;" in page


def test_who_is_in_quarantine_goes_on_when_it_is_resumed(
    operator: Browser, ops: Client, registered: Callable[..., str]
) -> None:
    name = registered()
    first = form_of(operator, name)
    assert first is not None
    operator.send(first, service="quarantined", reason="")
    assert of_api(ops, name)["state"] == "quarantined"
    again = form_of(operator, name)
    assert again is not None
    operator.send(again, service="active", reason="")

    assert (of_api(ops, name)["state"], of_api(ops, name)["reason"]) == ("active", None)


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"service": "gone"}, 400), ({}, 400), ({"service": "draining", "reason": "x" * 8_001}, 422)],
)
def test_what_no_page_says_is_refused(
    operator: Browser,
    ops: Client,
    registered: Callable[..., str],
    fields: dict[str, str],
    status: int,
) -> None:
    name = registered()
    form = form_of(operator, name)
    assert form is not None

    assert operator.send(form, **fields).status_code == status
    assert of_api(ops, name)["state"] == "active"


def test_what_an_executor_says_of_itself_is_text_and_can_be_seen(
    operator: Browser, registered: Callable[..., str]
) -> None:
    # A version may hold anything but control characters.
    registered(version=NASTY.replace("\x1b", ""))
    page = operator.open(PATH).text

    assert "&lt;/pre&gt;&lt;script&gt;alert(" in page
    assert "\\u202e" in page
    assert not INLINE.search(page)


def test_a_viewer_sees_no_form_and_sends_none(
    browsers: Callable[[], Browser],
    operator: Browser,
    stage: Stage,
    ops: Client,
    registered: Callable[..., str],
) -> None:
    name, viewer = registered(), browsers()
    viewer.sign_in(stage.tokens[Role.VIEWER])
    form = form_of(operator, name)
    own = form_at(viewer.open(PATH), "/ui/sign-out")
    assert form is not None
    assert own is not None

    assert form_of(viewer, name) is None
    assert viewer.send(form, **own.fields, service="draining").status_code == 403
    assert of_api(ops, name)["state"] == "active"


def test_executors_of_others_are_not_shown_and_shared_ones_not_acted_on(
    browsers: Callable[[], Browser],
    operator: Browser,
    stage: Stage,
    ops: Client,
    queue: str,
    registered: Callable[..., str],
) -> None:
    some = browsers()
    some.sign_in(make_token(stage.database, f"some-{queue}", Role.OPERATOR, (queue,)))
    name = registered(queue, f"secret-{queue}")
    form = form_of(operator, name)
    assert form is not None
    own = form_at(some.open(PATH), "/ui/sign-out")
    assert own is not None
    shared = some.open(PATH).text
    refused = some.send(form, **own.fields, service="draining")

    assert name in shared
    assert f"secret-{queue}" not in shared
    assert form_of(some, name) is None
    assert (refused.status_code, "insufficient-scope" in refused.text) == (403, True)

    registered(f"secret-{queue}", session=of_api(ops, name)["session"])
    assert name not in some.open(PATH).text
    assert some.send(form, **own.fields, service="draining").status_code == 404
    assert of_api(ops, name)["state"] == "active"


def test_those_of_one_queue_can_be_asked_for(
    operator: Browser, queue: str, registered: Callable[..., str]
) -> None:
    name = registered()

    assert name in operator.open(f"{PATH}?queue={queue}").text
    assert name not in operator.open(f"{PATH}?queue=other-{queue}").text
    assert operator.open(f"{PATH}?queue=%3Cb%3E").status_code == 422
    assert operator.open(f"{PATH}?other=1").status_code == 422
