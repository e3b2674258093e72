"""What pages show: of whom, escaped, and under which policy."""

import gzip
import re
from collections.abc import Callable
from typing import Any

import httpx2
import psycopg
import pytest

from orchestrator.api.page_policy import PAGES
from orchestrator.app import create_app
from orchestrator.lifecycle import Role
from orchestrator.pages.blueprint import ROOT
from orchestrator.pages.run import EVENTS_SHOWN, PAYLOAD_CHARACTERS
from orchestrator.settings import load
from tests.acceptance.client import Client, outcome_of
from tests.acceptance.stage import Stage, make_token
from tests.contract.browser import Browser

MISSING = "01890000-0000-7000-8000-0000000000ab"
# Nothing that is executed, styled or loaded may stand in a page itself.
INLINE = re.compile(
    r"<script(?! src=\"/)|<style|\sstyle=|\son\w+=|javascript:|<iframe|<object|<base", re.IGNORECASE
)
ELSEWHERE = re.compile(r"""(?:src|href|action)="(?!/|\#)[^"]*""")

NASTY = "</pre><script>alert('x')</script>\"'&{{7*7}}\x1b[31mred\u202egnp.exe\u2066\u200b"


@pytest.fixture
def viewer(browser: Browser, stage: Stage) -> Browser:
    browser.sign_in(stage.tokens[Role.VIEWER])
    return browser


def page_routes() -> list[str]:
    """Every page that is read, as the application has it."""
    settings = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "DIBS_SECRET_KEY": "k" * 32}
    rules = create_app(load(settings)).url_map.iter_rules()
    return sorted(
        rule.rule for rule in rules if rule.rule.startswith(ROOT) and "GET" in (rule.methods or ())
    )


def path_of(route: str, run_id: str, asset: str) -> str:
    named = {"run_id": run_id, "name": asset, "rest": "nowhere"}
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: named[found[1]], route)


def asset_of(page: httpx2.Response) -> str:
    [found] = re.findall(r'href="/ui/assets/(pages\.[0-9a-f]+\.css)"', page.text)
    return str(found)


@pytest.mark.parametrize("has_session", [True, False])
@pytest.mark.parametrize("route", page_routes())
def test_every_page_is_answered_under_the_policy(
    viewer: Browser,
    browsers: Callable[[], Browser],
    web: Client,
    queue: str,
    route: str,
    has_session: bool,
) -> None:
    asset = asset_of(viewer.open("/ui/access"))
    who = viewer if has_session else browsers()
    answer = who.open(path_of(route, web.create(queue), asset))

    assert answer.status_code < 500
    assert answer.headers["Content-Security-Policy"] == PAGES
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    is_asset = "/assets/" in route
    kept = answer.headers["Cache-Control"]
    assert kept == ("public, max-age=31536000, immutable" if is_asset else "no-store")
    assert is_asset or not INLINE.search(answer.text)
    assert not ELSEWHERE.search(answer.text)


def test_the_policy_lets_nothing_in_from_elsewhere_and_nothing_inline() -> None:
    policy = dict(rule.strip().split(" ", 1) for rule in PAGES.split(";"))

    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize("path", ["/docs", "/docs/style.css"])
def test_the_page_of_the_api_keeps_its_own_policy(nobody: Client, path: str) -> None:
    answer = nobody.send("GET", path)

    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.fixture
def failed_run(web: Client, holder: Client, queue: str) -> str:
    """A run whose input, key, progress and error are nasty."""
    # A key may hold no control characters, but everything else.
    key = NASTY.replace("\x1b", "")
    run_id = web.create(queue, input={NASTY: [NASTY]}, dedupKey=key, maxFailures=1)
    [dispatch] = holder.claim(queue)
    lease = {"leaseId": dispatch["lease"]["id"], "runId": run_id, "progress": {"p": NASTY}}
    renewal = {"session": MISSING, "leases": [lease], "claiming": [], "asOf": None}
    holder.ask("POST", "/v1/leases/renew", renewal)
    holder.report(outcome_of(dispatch, {"status": "error", "message": NASTY}))
    return run_id


@pytest.fixture
def aborted_run(web: Client, ops: Client, queue: str) -> str:
    """A run that was aborted for a nasty reason."""
    run_id = web.create(queue)
    ops.ask("POST", f"/v1/runs/{run_id}/abort", {"reason": NASTY})
    return run_id


@pytest.fixture
def finished_run(web: Client, holder: Client, queue: str) -> str:
    """A run with a nasty output."""
    run_id = web.create(queue)
    [dispatch] = holder.claim(queue)
    holder.report(outcome_of(dispatch, {"status": "success", "output": NASTY}))
    return run_id


@pytest.mark.parametrize(
    ("run", "places"), [("failed_run", 5), ("aborted_run", 1), ("finished_run", 2)]
)
def test_what_came_from_a_run_is_text_and_can_be_seen(
    viewer: Browser, request: pytest.FixtureRequest, run: str, places: int
) -> None:
    page = viewer.open(f"/ui/runs/{request.getfixturevalue(run)}").text

    assert page.count("&lt;/pre&gt;&lt;script&gt;alert(") >= places
    assert not INLINE.search(page)
    assert page.replace("\n", "").isprintable()
    assert "\\u202e" in page
    assert "{{7*7}}" in page


def test_a_page_shows_what_the_api_knows_of_a_run(
    viewer: Browser, web: Client, holder: Client, queue: str
) -> None:
    run_id = web.create(queue, input={"orderId": 7})
    holder.claim(queue, leaseSeconds=60)
    page = viewer.open(f"/ui/runs/{run_id}").text
    run = web.run(run_id)

    for said in (
        run_id,
        queue,
        "loading",
        run["lockedBy"],
        str(run["fence"]),
        "claimed",
        "created",
    ):
        assert said in page
    assert "&#34;orderId&#34;: 7" in page
    assert run["leaseExpiresAt"] in page


def test_no_lease_id_is_shown(viewer: Browser, web: Client, holder: Client, queue: str) -> None:
    run_id = web.create(queue)
    [dispatch] = holder.claim(queue)

    assert dispatch["lease"]["id"] not in viewer.open(f"/ui/runs/{run_id}").text


def test_long_payloads_and_histories_are_cut(viewer: Browser, web: Client, queue: str) -> None:
    run_id = web.create(queue, input="x" * 100_000)
    for _ in range(EVENTS_SHOWN // 2):
        web.ask("POST", f"/v1/runs/{run_id}/abort")
        web.ask("POST", f"/v1/runs/{run_id}/retry")
    page = viewer.open(f"/ui/runs/{run_id}").text

    assert "Cut after 16384 characters" in page
    # One less: the text begins with a quotation mark.
    assert "x" * (PAYLOAD_CHARACTERS - 1) in page
    assert "x" * PAYLOAD_CHARACTERS not in page
    assert "Earlier events: the API has them." in page
    assert page.count("<td>retried</td>") == page.count("<td>aborted</td>") == EVENTS_SHOWN // 2
    assert "<td>created</td>" not in page


def test_a_run_of_another_queue_looks_exactly_like_a_missing_one(
    browser: Browser, stage: Stage, web: Client, queue: str
) -> None:
    run_id = web.create(f"secret-{queue}")
    browser.sign_in(make_token(stage.database, f"o-{queue}", Role.OPERATOR, (f"{queue}.*", queue)))
    own = web.create(queue)
    fields = {"key": MISSING, "reason": ""}
    token = {"form-token": _form_token(browser.open(f"/ui/runs/{own}"))}

    def alike(answer: httpx2.Response, asked: str) -> tuple[int, str]:
        request_id = answer.headers["X-Request-Id"]
        text = answer.text.replace(asked, "").replace(request_id, "")
        return answer.status_code, re.sub(r'name="form-token" value="[^"]*"', "", text)

    assert browser.open(f"/ui/runs/{own}").status_code == 200
    for ask in (
        lambda run: browser.open(f"/ui/runs/{run}"),
        lambda run: browser.post(f"/ui/runs/{run}/abort", fields | token),
    ):
        foreign, missing = alike(ask(run_id), run_id), alike(ask(MISSING), MISSING)

        assert foreign == missing
        assert foreign[0] == 404
    assert web.run(run_id)["runState"] == "pending"


@pytest.mark.parametrize("text", ["x", "01A20398-F4E1-7770-9BF5-9DEE2154FAFC", "%2e%2e%2faccess"])
def test_what_is_no_id_is_a_run_that_is_not_there(viewer: Browser, text: str) -> None:
    assert viewer.open(f"/ui/runs/{text}").status_code == 404


def test_a_run_is_found_by_its_id(viewer: Browser, web: Client, queue: str) -> None:
    run_id = web.create(queue)
    answer = viewer.open(f"/ui/runs?search=%20{run_id.upper()}%20")

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/ui/runs/{run_id}")


def test_access_shows_tokens_without_secrets(
    viewer: Browser, stage: Stage, owner: psycopg.Connection[Any], queue: str
) -> None:
    token = make_token(stage.database, f"shown-{queue}", Role.CLIENT, (queue, "billing.*"))
    _, key_id, secret = token.split("_", 2)
    owner.execute(
        'UPDATE "accessTokens" SET "revokedAt" = clock_timestamp() WHERE "keyId" = %s', [key_id]
    )
    [secret_hash] = owner.execute(
        'SELECT encode("secretHash", %s) FROM "accessTokens" WHERE "keyId" = %s', ["hex", key_id]
    ).fetchone() or [None]
    page = viewer.open("/ui/access").text

    for said in (f"shown-{queue}", key_id, queue, "billing.*", "revoked"):
        assert said in page
    assert secret not in page
    assert secret_hash not in page


def test_access_is_narrowed_to_the_queues_of_who_looks(
    browser: Browser, stage: Stage, queue: str
) -> None:
    make_token(stage.database, f"theirs-{queue}", Role.CLIENT, (f"other-{queue}",))
    make_token(stage.database, f"shared-{queue}", Role.CLIENT, (f"{queue}.a", f"hidden-{queue}"))
    browser.sign_in(make_token(stage.database, f"v-{queue}", Role.VIEWER, (f"{queue}.*",)))
    page = browser.open("/ui/access").text

    assert f"shared-{queue}" in page
    assert f"{queue}.a" in page
    assert f"theirs-{queue}" not in page
    assert f"hidden-{queue}" not in page


def _form_token(page: httpx2.Response) -> str:
    [token, *_] = re.findall(r'name="form-token" value="([^"]*)"', page.text)
    return str(token)


LIVE = {"HX-Request": "true"}


def test_a_page_that_is_looked_at_sends_nothing_when_nothing_has_changed(
    viewer: Browser, web: Client, holder: Client, queue: str
) -> None:
    path = f"/ui/runs/{web.create(queue)}"
    whole = viewer.open(path).text
    [tag] = re.findall(r'data-etag="([0-9a-f]+)"', whole)
    unchanged = viewer.http.get(path, headers=LIVE | {"If-None-Match": f'"{tag}"'})
    holder.claim(queue)
    changed = viewer.http.get(path, headers=LIVE | {"If-None-Match": f'"{tag}"'})

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["ETag"] == f'"{tag}"'
    assert changed.status_code == 200
    assert changed.headers["ETag"] != f'"{tag}"'
    assert "<html" not in changed.text
    assert "loading" in changed.text


def test_what_a_page_consists_of_is_sent_compressed_to_whom_can_read_it(viewer: Browser) -> None:
    page = viewer.open("/ui/access")
    parts = re.findall(r'(?:src|href)="(/ui/assets/[^"]+)"', page.text)
    sent = 0
    for part in parts:
        plain = viewer.http.get(part, headers={"Accept-Encoding": "identity"})
        with viewer.http.stream("GET", part, headers={"Accept-Encoding": "gzip"}) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(raw) == plain.content
        sent += len(raw)

    assert len(parts) >= 6
    assert sent + len(page.content) < 60_000
