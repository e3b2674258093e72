"""Every refusal is a problem document; one code, one status."""

import importlib
import pkgutil
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

import orchestrator
from orchestrator import errors
from orchestrator.api.application import Application
from orchestrator.api.problems import register_problems, status_of
from orchestrator.errors import DibsError

RUN = UUID("01a20398-f4e1-7770-9bf5-9dee2154fafc")

# The codes that clients outside this repository count on.
STATUSES = {
    "unauthenticated": 401,
    "insufficient-scope": 403,
    "run-not-found": 404,
    "not-found": 404,
    "malformed-json": 400,
    "json-too-complex": 400,
    "json-number-out-of-range": 400,
    "idempotency-key-invalid": 400,
    "malformed-request": 400,
    "request-timeout": 408,
    "payload-too-large": 413,
    "unsupported-media-type": 415,
    "unsupported-encoding": 415,
    "method-not-allowed": 405,
    "validation": 422,
    "unsupported-character": 422,
    "request-id-reused": 422,
    "idempotency-key-reused": 422,
    "invalid-cursor": 422,
    "lease-lost": 409,
    "outcome-conflict": 409,
    "step-out-of-order": 409,
    "run-held": 409,
    "run-not-claimable": 409,
    "run-already-active": 409,
    "run-over": 410,
    "unavailable": 503,
    "overloaded": 503,
    "outcome-unknown": 503,
    "internal-error": 500,
}


def every_error():
    for module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    pending = [DibsError]
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        if "code" in vars(kind):
            yield kind


@pytest.fixture
def ask():
    """Raise an error in a view of its own application and answer as the service would."""

    def ask(error, path="/x", headers=None):
        app = Application("problems", json_errors=False, enable_openapi=False)
        register_problems(app)

        @app.get("/<path:rest>")
        def fail(rest):
            raise error

        return app.test_client().get(path, headers=headers)

    return ask


def test_one_code_has_one_status():
    statuses = {}
    for kind in every_error():
        statuses.setdefault(kind.code, set()).add(status_of(kind))

    assert {code: seen for code, seen in statuses.items() if len(seen) > 1} == {}
    assert {code: statuses.get(code) for code in STATUSES} == {
        code: {status} for code, status in STATUSES.items()
    }


def test_every_title_is_a_sentence():
    assert [kind for kind in every_error() if not kind.title() or kind.title().endswith(".")] == []


def test_a_refusal_is_a_whole_problem_document(ask):
    expires_at = datetime(2026, 11, 22, 13, 26, 58, 123999, UTC)
    answer = ask(errors.RunHeld(RUN, "started", expires_at, 3.2), headers={"X-Request-Id": "r-1"})

    assert answer.status_code == 409
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["Retry-After"] == "4"
    assert answer.json == {
        "type": "/problems/run-held",
        "title": "Another lease holds the run",
        "status": 409,
        "detail": f"Run {RUN} is started under a lease.",
        "instance": "/x",
        "code": "run-held",
        "requestId": "r-1",
        "runId": str(RUN),
        "runState": "started",
        "leaseExpiresAt": "2026-11-22T13:26:58.123Z",
    }


@pytest.mark.parametrize(
    "surprise",
    [
        RuntimeError("a secret"),
        IntegrityError("INSERT a secret", {}, Exception("DETAIL: a secret")),
        RecursionError("a secret"),
    ],
)
def test_a_surprise_tells_nothing(ask, capsys, surprise):
    answer = ask(surprise)

    assert (answer.status_code, answer.json["code"]) == (500, "internal-error")
    assert "a secret" not in answer.text
    assert "a secret" not in "".join(capsys.readouterr())
    assert answer.json["requestId"] == answer.headers["X-Request-Id"]


@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "é", "a\tb", "<script>"])
def test_a_strange_request_id_is_neither_kept_nor_reflected(ask, sent):
    answer = ask(errors.RunNotFound(), headers={"X-Request-Id": sent})

    assert answer.json["requestId"] not in ("", sent)


def test_a_path_is_reflected_quoted_and_a_query_never(ask):
    answer = ask(errors.RunNotFound(), path="/a b<c>?token=secret")

    assert answer.json["instance"] == "/a%20b%3Cc%3E"
    assert "secret" not in answer.text
