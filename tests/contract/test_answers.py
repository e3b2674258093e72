"""What every answer has, whatever was asked and however."""

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client

ANY = "01890000-0000-7000-8000-0000000000ab"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/whoami", 200),
        ("GET", "/v1/runs", 200),
        ("HEAD", "/v1/runs", 200),
        ("GET", f"/v1/runs/{ANY}", 404),
        ("POST", "/v1/runs", 415),
        ("POST", "/v1/claims", 403),
        ("DELETE", "/v1/runs", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1//runs", 404),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/docs", 200),
        ("GET", "/docs/style.css", 200),
        ("GET", "/nothing", 404),
    ],
)
def test_no_answer_is_guessed_at_kept_or_told_on(
    web: Client, method: str, path: str, status: int
) -> None:
    answer = web.send(method, path)

    assert answer.status_code == status
    assert answer.headers.get_list("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers.get_list("Referrer-Policy") == ["same-origin"]
    if path.startswith("/v1/"):
        assert answer.headers.get_list("Cache-Control") == ["no-store"]
    assert answer.headers["X-Request-Id"]


def test_a_refusal_without_a_token_has_them_too(nobody: Client) -> None:
    answer = nobody.send("GET", "/v1/runs")

    assert answer.status_code == 401
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("accept", ["application/xml", "text/html", "*/*;q=0", "\u00e4", ""])
def test_the_api_answers_json_whatever_is_accepted(web: Client, accept: str) -> None:
    raw = {b"Accept": accept.encode("latin-1")}
    good, bad = (web.send("GET", path, headers=raw) for path in ("/v1/whoami", "/v1/nothing"))  # type: ignore[arg-type]

    assert (good.status_code, good.headers["Content-Type"]) == (200, "application/json")
    assert (bad.status_code, bad.headers["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("path", "role"), [("/v1/runs/batch", Role.CLIENT), ("/v1/reports", Role.EXECUTOR)]
)
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[" + b"0," * 1_000_000 + b"0]", 400, "json-too-complex"),
        (
            b"{" + b",".join(b'"%d":0' % n for n in range(600_000)) + b"}",
            400,
            "json-too-complex",
        ),
        (b" " * (8 * 1024 * 1024 + 1), 413, "payload-too-large"),
    ],
    ids=["a million items", "600,000 members", "more than 8 MiB"],
)
def test_what_is_too_much_is_refused_where_most_is_taken(
    callers: dict[Role, Client], path: str, role: Role, body: bytes, status: int, code: str
) -> None:
    answer = callers[role].send(
        "POST", path, content=body, headers={"Content-Type": "application/json"}
    )

    assert (answer.status_code, answer.json()["code"]) == (status, code)
