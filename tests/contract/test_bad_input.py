"""Hostile input over a socket: the right status and code, a problem document, nothing written."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import orjson
import psycopg
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json, outcome_of
from tests.acceptance.stage import Stage, make_token
from tests.contract.raw_http import send_raw

JSON = {"Content-Type": "application/json"}
NOBODYS = "01890000-0000-7000-8000-0000000000ab"
KIB = 1024


@pytest.fixture(autouse=True)
def nothing_is_written(
    owner: psycopg.Connection[Any], request: pytest.FixtureRequest
) -> Iterator[None]:
    """No bad request leaves a run, an event, a step or a claim behind."""

    def written() -> Any:
        return owner.execute(
            """
            SELECT (SELECT count(*) FROM "workflowRuns"), (SELECT count(*) FROM "runEvents"),
                   (SELECT count(*) FROM "workflowSteps"), (SELECT count(*) FROM "claimRequests")
            """
        ).fetchone()

    before = written()
    yield
    if "writes" not in request.keywords:
        assert written() == before


def padded(size: int, body: bytes = b'{"workflow":"refund","input":"%s"}') -> bytes:
    return body % (b"x" * (size - len(body) + 2))


CREATES: dict[str, tuple[bytes, int, str]] = {
    "B11 not JSON": (b"hello", 400, "malformed-json"),
    "B11 truncated": (b'{"workflow": "re', 400, "malformed-json"),
    "B11 trailing garbage": (b'{"workflow": "refund"} x', 400, "malformed-json"),
    "B12 empty": (b"", 400, "malformed-json"),
    "B12 blank": (b"  \n", 400, "malformed-json"),
    "B13 array": (b"[]", 422, "validation"),
    "B13 string": (b'"refund"', 422, "validation"),
    "B13 number": (b"1", 422, "validation"),
    "B13 null": (b"null", 422, "validation"),
    "B14 byte order mark": (b'\xef\xbb\xbf{"workflow":"refund"}', 400, "malformed-json"),
    "B14 UTF-16": ('{"workflow":"refund"}'.encode("utf-16"), 400, "malformed-json"),
    "B14 invalid UTF-8": (b'{"workflow":"\xff\xfe"}', 400, "malformed-json"),
    "B15 too deep": (
        b'{"workflow":"refund","input":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        400,
        "json-too-complex",
    ),
    "B15 a little too deep": (
        b'{"workflow":"refund","input":' + b"[" * 32 + b"]" * 32 + b"}",
        400,
        "json-too-complex",
    ),
    "B16 5,000 digits": (
        b'{"workflow":"refund","input":' + b"9" * 5000 + b"}",
        400,
        "json-number-out-of-range",
    ),
    "B17 1e999": (b'{"workflow":"refund","input":1e999}', 400, "json-number-out-of-range"),
    "B18 NaN": (b'{"workflow":"refund","input":NaN}', 400, "malformed-json"),
    "B18 Infinity": (b'{"workflow":"refund","input":-Infinity}', 400, "malformed-json"),
    "B19 NUL": (b'{"workflow":"refund","input":"a\\u0000"}', 422, "unsupported-character"),
    "B19 NUL in a key": (
        b'{"workflow":"refund","input":{"a\\u0000":1}}',
        422,
        "unsupported-character",
    ),
    "B20 lone surrogate": (
        b'{"workflow":"refund","input":"\\ud800"}',
        422,
        "unsupported-character",
    ),
    "B21 duplicate keys": (
        b'{"workflow":"refund","workflow":"other"}',
        400,
        "malformed-json",
    ),
    "B21 duplicate keys within": (
        b'{"workflow":"refund","input":{"a":1,"a":2}}',
        400,
        "malformed-json",
    ),
    "B22 many keys": (
        b'{"workflow":"refund","input":{%s}}' % b",".join(b'"%d":0' % n for n in range(100_000)),
        413,
        "payload-too-large",
    ),
    "B23 too large": (padded(256 * KIB + 1), 413, "payload-too-large"),
    "B30 unknown member": (b'{"workflow":"refund","wrokflow":1}', 422, "validation"),
    "B30 snake case": (b'{"workflow":"refund","dedup_key":"a"}', 422, "validation"),
    "B31 number as text": (b'{"workflow":"refund","priority":"5"}', 422, "validation"),
    "B31 float": (b'{"workflow":"refund","priority":5.0}', 422, "validation"),
    "B31 boolean": (b'{"workflow":"refund","priority":true}', 422, "validation"),
    "B31 null": (b'{"workflow":"refund","priority":null}', 422, "validation"),
    "priority beyond": (b'{"workflow":"refund","priority":101}', 422, "validation"),
    "budget 0": (b'{"workflow":"refund","maxCrashes":0}', 422, "validation"),
    "B34 empty name": (b'{"workflow":""}', 422, "validation"),
    "B34 long name": (b'{"workflow":"%s"}' % (b"a" * 64), 422, "validation"),
    "B34 newline": (b'{"workflow":"refund\\n"}', 422, "validation"),
    "B34 right-to-left": ('{"workflow":"re\u202efund"}'.encode(), 422, "validation"),
    "B34 homoglyph": ('{"workflow":"r\u0435fund"}'.encode(), 422, "validation"),
    "B55 year 1": (
        b'{"workflow":"refund","availableAt":"0001-01-01T00:00:00Z"}',
        422,
        "validation",
    ),
    "B55 year 9999": (
        b'{"workflow":"refund","availableAt":"9999-12-31T23:59:59Z"}',
        422,
        "validation",
    ),
    "B55 no zone": (
        b'{"workflow":"refund","availableAt":"2027-01-01T00:00:00"}',
        422,
        "validation",
    ),
    "B55 now": (b'{"workflow":"refund","availableAt":"now"}', 422, "validation"),
    "B55 no such day": (
        b'{"workflow":"refund","availableAt":"2027-02-29T00:00:00Z"}',
        422,
        "validation",
    ),
    "B55 a number": (b'{"workflow":"refund","availableAt":1763805600}', 422, "validation"),
    "traceparent": (b'{"workflow":"refund","traceparent":"x"}', 422, "validation"),
}


def check_problem(answer: Any, status: int, code: str) -> None:
    """A problem document with this status and code, and nothing in it from within."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance", "code", "requestId"} <= problem.keys()
    assert problem["status"] == status
    for inside in (
        "Traceback",
        "psycopg",
        "sqlalchemy",
        "workflowRuns",
        "SELECT",
        "/site-packages",
    ):
        assert inside not in answer.text


@pytest.mark.parametrize("case", CREATES)
def test_a_bad_create_is_refused(web: Client, case: str) -> None:
    body, status, code = CREATES[case]

    check_problem(web.send("POST", "/v1/runs", content=body, headers=JSON), status, code)


@pytest.mark.parametrize("case", CREATES)
def test_a_bad_body_of_a_claim_is_refused_too(holder: Client, case: str) -> None:
    body, status, _ = CREATES[case]

    answer = holder.send("POST", "/v1/claims", content=body, headers=JSON)

    assert answer.status_code in (status, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("change", "case"),
    [
        *(({"limit": limit}, "B32") for limit in (0, -1, 501, 2**63, 2**64, "5", 5.0, True, None)),
        *(({"leaseSeconds": seconds}, "B33") for seconds in (0, 1, 3601, 2**40)),
        *(({"waitSeconds": seconds}, "wait") for seconds in (-1, 31)),
        *(({"queues": queues}, "B34") for queues in ([], [""], ["a" * 129], ["a b"], "q", [1])),
        *(
            ({"requestId": text}, "B35")
            for text in (
                "x",
                "x" * 10_240,
                NOBODYS.upper(),
                f"{{{NOBODYS}}}",
                f"urn:uuid:{NOBODYS}",
            )
        ),
        ({"requestId": None}, "B35"),
        ({"session": 7}, "session"),
        ({"executor": "one:two"}, "executor"),
        ({"runner": "one"}, "B30"),
    ],
)
def test_a_bad_claim_is_refused(
    web: Client, holder: Client, change: dict[str, Any], case: str
) -> None:
    body: Json = {**holder.claim_body("default"), **change}

    check_problem(holder.send("POST", "/v1/claims", body), 422, "validation")


def test_a_claim_without_a_request_id_is_refused(holder: Client) -> None:
    body = holder.claim_body("default")
    del body["requestId"]

    check_problem(holder.send("POST", "/v1/claims", body), 422, "validation")


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "\u00e4"])
def test_a_bad_idempotency_key_is_refused(web: Client, key: str) -> None:
    headers = {**JSON, "Idempotency-Key": key}
    content = b'{"workflow": "refund"}'

    # As bytes: a client would not send some of these as text.
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    answer = web.send("POST", "/v1/runs", content=content, headers=raw)  # type: ignore[arg-type]

    check_problem(answer, 400, "idempotency-key-invalid")


@pytest.mark.parametrize(
    "path",
    [
        "1",
        "abc",
        "%00",
        "x" * 10_240,
        "'%20OR%201=1--",
        NOBODYS.upper(),
        f"%7B{NOBODYS}%7D",
        f"urn:uuid:{NOBODYS}",
        NOBODYS.replace("-", ""),
        NOBODYS,
    ],
)
@pytest.mark.parametrize("verb", ["", "/events", "/steps", "/abort", "/retry", "/resume"])
def test_an_id_that_no_run_has_is_a_missing_run(web: Client, path: str, verb: str) -> None:
    method = "GET" if verb in ("", "/events", "/steps") else "POST"
    body: Json | None = None if method == "GET" else ({"input": {}} if verb == "/resume" else {})

    answer = web.send(method, f"/v1/runs/{path}{verb}", body)

    check_problem(answer, 404, "run-not-found")


@pytest.mark.parametrize(
    "authorization",
    [
        b"",
        b"Bearer",
        b"Bearer nonsense",
        b"Basic dXNlcjpwYXNz",
        b"Bearer dibs_0123456789abcdef_unknown",
        b"Bearer dibs_" + b"x" * 10_000,
        b"Bearer dibs_\xff_\xff",
    ],
)
def test_bad_credentials_are_all_refused_alike(stage: Stage, authorization: bytes) -> None:
    answer = send_raw(
        stage.orchestrator.url,
        b"GET /v1/runs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: "
        + authorization
        + b"\r\n\r\n",
    )

    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert orjson.loads(answer.body)["detail"].startswith("Send one valid token")


def test_two_credentials_and_one_in_the_query_are_refused(stage: Stage, nobody: Client) -> None:
    token = stage.tokens[Role.CLIENT].encode()
    twice = send_raw(
        stage.orchestrator.url,
        b"GET /v1/runs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        + b"Authorization: Bearer %s\r\n" % token * 2
        + b"\r\n",
    )
    in_query = nobody.send("GET", f"/v1/runs?token={token.decode()}")

    assert (twice.status, twice.code) == (401, "unauthenticated")
    check_problem(in_query, 401, "unauthenticated")
    assert token.decode() not in in_query.text
    assert token not in stage.orchestrator.log_file.read_bytes()


@pytest.mark.writes
def test_a_run_of_another_queue_looks_exactly_like_a_missing_one(
    stage: Stage, web: Client, holder: Client, queue: str
) -> None:
    token = make_token(stage.database, f"narrow-{queue}", Role.CLIENT, queues=(f"{queue}.*",))
    run_id = web.create(queue)
    asked: list[tuple[str, str, Json | None]] = [
        ("GET", "", None),
        ("GET", "/events", None),
        ("GET", "/steps", None),
        ("POST", "/abort", {}),
        ("POST", "/retry", {}),
        ("POST", "/resume", {"input": {}}),
    ]
    stranger = Client(stage.orchestrator.url, token)
    try:
        for method, verb, body in asked:
            there, missing = (
                stranger.send(method, f"/v1/runs/{one}{verb}", body) for one in (run_id, NOBODYS)
            )
            check_problem(there, 404, "run-not-found")
            members = [
                {k: v for k, v in answer.json().items() if k not in ("requestId", "instance")}
                for answer in (there, missing)
            ]
            assert members[0] == members[1]
            assert there.headers.keys() == missing.headers.keys()
        assert stranger.ask("GET", "/v1/runs")["items"] == []
        outside = stranger.send("POST", "/v1/runs", {"workflow": "refund", "queue": queue})
        check_problem(outside, 403, "insufficient-scope")
        assert stranger.create(f"{queue}.sub")
    finally:
        stranger.close()
    assert web.kinds(run_id) == ["created"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": "text/plain"}, 415, "unsupported-media-type"),
        ({}, 415, "unsupported-media-type"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported-media-type"),
        ({**JSON, "Content-Encoding": "gzip"}, 415, "unsupported-encoding"),
    ],
)
def test_other_media_types_and_encodings_are_refused(
    web: Client, headers: dict[str, str], status: int, code: str
) -> None:
    body = b'{"workflow": "refund"}'

    check_problem(web.send("POST", "/v1/runs", content=body, headers=headers), status, code)


def test_a_body_beyond_its_cap_is_refused_before_it_is_read(stage: Stage) -> None:
    token = stage.tokens[Role.CLIENT].encode()
    head = (
        b"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )

    small = send_raw(stage.orchestrator.url, head % (b"/v1/runs", token, 256 * KIB + 1))
    batch = send_raw(stage.orchestrator.url, head % (b"/v1/runs/batch", token, 8 * KIB**2 + 1))

    assert (small.status, small.code) == (413, "payload-too-large")
    assert (batch.status, batch.code) == (413, "payload-too-large")


def test_an_endless_chunked_body_is_cut_off(stage: Stage) -> None:
    token = stage.tokens[Role.CLIENT].encode()
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    answer = send_raw(
        stage.orchestrator.url,
        b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        % token
        + chunk * 64,
    )

    assert (answer.status, answer.code) in [(413, "payload-too-large"), (0, None)]


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 22\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 22\r\nContent-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 2x\r\n",
    ],
)
def test_contradictory_lengths_have_no_effect(stage: Stage, framing: bytes) -> None:
    token = stage.tokens[Role.CLIENT].encode()

    answer = send_raw(
        stage.orchestrator.url,
        b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n"
        b"Content-Type: application/json\r\n%s\r\n"
        b'{"workflow": "refund"}' % (token, framing),
    )

    assert answer.status in (0, 400)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X-Many: y\r\n" * 1_000 + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Bare\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_what_is_not_proper_http_is_refused(stage: Stage, head: bytes) -> None:
    assert send_raw(stage.orchestrator.url, head).status in (0, 400, 431)


@pytest.mark.parametrize(
    "path", ["/nothing", "//v1/runs", "/v1//runs", "/v1/runs/", "/v1/./runs", "/%2e%2e/v1/runs"]
)
def test_an_unknown_path_is_404(stage: Stage, path: str) -> None:
    token = stage.tokens[Role.OPERATOR]
    answer = send_raw(
        stage.orchestrator.url,
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode(),
    )

    assert answer.status == 404
    assert answer.code in ("not-found", "run-not-found")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "TRACE"])
def test_a_claim_is_made_by_post_only(holder: Client, method: str) -> None:
    answer = holder.send(method, "/v1/claims")

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert answer.json()["code"] == "method-not-allowed"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "validation"),
        ("limit=-1", "validation"),
        ("limit=501", "validation"),
        ("limit=5.0", "validation"),
        ("limit=1&limit=2", "validation"),
        ("state=pending,cooking", "validation"),
        ("sort=id;drop table", "validation"),
        ("queue=a%20b", "validation"),
        ("createdAfter=yesterday", "validation"),
        ("cursor=forged", "invalid-cursor"),
    ],
)
def test_a_bad_query_is_refused(web: Client, query: str, code: str) -> None:
    check_problem(web.send("GET", f"/v1/runs?{query}"), 422, code)


@pytest.mark.writes
def test_a_cursor_is_good_for_its_token_and_its_filter_only(
    web: Client, ops: Client, queue: str
) -> None:
    web.create_many(queue, 2)
    cursor = web.ask("GET", f"/v1/runs?queue={queue}&limit=1")["nextCursor"]

    by_another = ops.send("GET", f"/v1/runs?queue={queue}&limit=1&cursor={cursor}")
    for_another = web.send("GET", f"/v1/runs?limit=1&cursor={cursor}")

    check_problem(by_another, 422, "invalid-cursor")
    check_problem(for_another, 422, "invalid-cursor")


def test_what_a_renewal_may_name(holder: Client) -> None:
    lease = {"leaseId": NOBODYS, "runId": NOBODYS}

    def renew(leases: list[dict[str, str]]) -> Any:
        body = {"session": str(uuid4()), "leases": leases}
        return holder.send("POST", "/v1/leases/renew", body)

    assert renew([]).status_code == 200
    assert renew([lease, lease]).json()["lost"] == [NOBODYS]
    assert renew([lease] * 501).status_code == 422
    assert renew([lease] * 10_000).status_code in (413, 422)


@pytest.mark.writes
def test_reports_that_do_not_fit_are_refused_item_by_item(
    web: Client, holder: Client, stage: Stage, queue: str
) -> None:
    pending = web.create(f"{queue}-pending")
    web.create_many(queue, 2)
    mine, other = holder.claim(queue, limit=2)
    success = {"status": "success", "output": None}
    token = make_token(stage.database, f"stranger-{queue}", Role.EXECUTOR)
    stranger = Client(stage.orchestrator.url, token)
    try:
        (by_a_stranger,) = stranger.report(outcome_of(mine, success))
    finally:
        stranger.close()

    results = holder.report(
        outcome_of(mine, success, leaseId=NOBODYS),
        outcome_of(mine, success, leaseId=other["lease"]["id"]),
        outcome_of(mine, success, runId=NOBODYS),
        outcome_of(mine, success, runId=pending),
        outcome_of(mine, success, stepIndex=1),
        outcome_of(mine, success),
        outcome_of(mine, success),
        outcome_of(mine, {"status": "error", "message": "after all"}),
    )

    told = [(one["status"], (one["problem"] or {}).get("code")) for one in results]
    assert told == [
        ("refused", "lease-lost"),
        ("refused", "lease-lost"),
        ("refused", "lease-lost"),
        ("refused", "lease-lost"),
        ("refused", "step-out-of-order"),
        ("finished", None),
        ("finished", None),
        ("refused", "outcome-conflict"),
    ]
    assert results[6]["replayed"] is True
    unknown = results[0]["problem"]
    assert by_a_stranger["problem"] == unknown
    assert all(one["problem"]["status"] == 409 for one in results if one["problem"])


@pytest.mark.writes
def test_a_negative_step_is_refused_in_its_item_and_its_neighbour_is_stored(
    web: Client, holder: Client, queue: str
) -> None:
    web.create_many(queue, 2)
    bad, good = holder.claim(queue, limit=2)
    success = {"status": "success", "output": None}

    refused, stored = holder.report(
        outcome_of(bad, success, stepIndex=-1), outcome_of(good, success)
    )

    assert (refused["problem"]["status"], refused["problem"]["code"]) == (422, "validation")
    assert refused["problem"]["errors"][0]["path"] == "/reports/0/stepIndex"
    assert stored["status"] == "finished"
    assert holder.report(outcome_of(bad, success))[0]["status"] == "finished"


@pytest.mark.parametrize(
    "outcome",
    [
        {"status": "success", "output": 1, "extra": 1},
        {"status": "done"},
        {"output": 1},
        {"status": "error"},
        {"status": "error", "message": 1},
        {"status": "error", "message": "x", "retryable": "yes"},
        {"status": "later"},
        {"status": "later", "availableAt": "tomorrow"},
        {"status": "awaiting-input"},
        {"status": "awaiting-input", "waitingFor": {"timeoutSeconds": 0}},
        {"status": "awaiting-input", "waitingFor": {"onTimeout": "explode"}},
        None,
    ],
)
def test_a_report_that_is_no_outcome_is_refused(holder: Client, outcome: Any) -> None:
    report = {"leaseId": NOBODYS, "runId": NOBODYS, "stepIndex": 0, "outcome": outcome}
    body = {"session": str(uuid4()), "reports": [report]}

    answer = holder.send("POST", "/v1/reports", body)

    check_problem(answer, 422, "validation")
    assert answer.json()["errors"][0]["path"].startswith("/reports/0/outcome")


@pytest.mark.parametrize("index", ["-1", "1.0", "x", "99999999999"])
def test_a_step_index_that_none_can_have_is_404(holder: Client, index: str) -> None:
    body = {"leaseId": NOBODYS, "session": str(uuid4())}

    answer = holder.send("POST", f"/v1/runs/{NOBODYS}/steps/{index}/start", body)

    assert answer.status_code == 404


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "ftp://x", "http://", "x", "http://[", "file:///etc/passwd"]
)
def test_an_executors_url_must_be_http(holder: Client, url: str) -> None:
    body = {"session": str(uuid4()), "url": url}

    check_problem(holder.send("PUT", "/v1/executors/one", body), 422, "validation")


@pytest.mark.writes
def test_payloads_come_back_as_they_were_sent(web: Client, queue: str) -> None:
    nasty = {
        "formula": "=cmd|' /C calc'!A0",
        "markup": "<script>alert(1)</script>",
        "escapes": "\x1b[31mred\x1b[0m \u202e \u2028",
        "emoji": "\U0001f600",
        "large": 2**53 + 1,
        "tiny": 1e-300,
        "": {"deep": [[[[[[]]]]]]},
    }

    run_id = web.create(queue, input=nasty)

    assert web.run(run_id)["input"] == nasty


def test_a_spoofed_identity_and_method_are_ignored(web: Client) -> None:
    headers = {
        "X-Executor-Id": "one",
        "X-Forwarded-For": "10.0.0.1",
        "X-HTTP-Method-Override": "DELETE",
        "X-Request-Id": "evil\u00ff" * 30,
    }
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}

    answer = web.send("GET", "/v1/whoami", headers=raw)  # type: ignore[arg-type]

    assert (answer.status_code, answer.json()["name"]) == (200, "client")
    assert "evil" not in answer.headers["X-Request-Id"]


def test_the_service_still_answers(nobody: Client) -> None:
    assert nobody.send("GET", "/readyz").status_code == 200
