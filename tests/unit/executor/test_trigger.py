"""The HTTP face: its checks in their order, what each costs, and what is answered."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import msgspec
import pytest

from executor import App

WAIT_SECONDS = 10
CALLER = {"name": "web", "role": "client", "queues": ["default"], "expiresAt": None}
UNKNOWN_RUN = "00000000-0000-7000-8000-999999999999"


@pytest.fixture
def app():
    return App()


@pytest.fixture
def face(app, answers, start_executor):
    """An executor that is idle, and a client of its HTTP face with a good token."""
    answers.say("whoami", CALLER)
    answers.say("claim", {"code": "run-not-found", "detail": "There is no such run."}, 404)
    face = Face(start_executor(app))
    yield face
    face.http.close()


class Face:
    def __init__(self, executor):
        self.executor = executor
        self.http = httpx2.Client(
            base_url=executor.url, headers={"Authorization": "Bearer dibs_c_good"}, trust_env=False
        )

    def trigger(self, run_id, **options):
        return self.http.post(f"/runs/{run_id}/trigger", **options)


def wire(dispatch):
    return msgspec.to_builtins(dispatch)


def code(response):
    assert response.headers["Content-Type"] == "application/json"
    assert response.json().keys() == {"error", "code"}
    return response.status_code, response.json()["code"]


def test_a_claimed_run_is_triggered_before_it_is_over(app, answers, face, dispatch):
    let_go = threading.Event()
    app.step("refund")(lambda _: let_go.wait(WAIT_SECONDS))
    made = dispatch()
    answers.say("claim", wire(made))

    response = face.trigger(made.run.id)

    assert (response.status_code, response.json()) == (200, {"triggered": True})
    assert face.executor.in_flight.find(made.run.id) is not None
    let_go.set()


def test_a_warm_duplicate_costs_no_call_at_all(app, answers, face, dispatch):
    let_go = threading.Event()
    app.step("refund")(lambda _: let_go.wait(WAIT_SECONDS))
    made = dispatch()
    answers.say("claim", wire(made))
    face.trigger(made.run.id)
    asked = [route for route, _ in answers.asked if route in ("whoami", "claim")]

    duplicate = face.trigger(made.run.id)

    assert code(duplicate) == (400, "run_already_in_flight")
    assert [route for route, _ in answers.asked if route in ("whoami", "claim")] == asked
    let_go.set()


def test_a_run_in_flight_of_a_foreign_queue_looks_like_a_missing_one(app, answers, face, dispatch):
    let_go = threading.Event()
    app.step("refund")(lambda _: let_go.wait(WAIT_SECONDS))
    made = dispatch()
    answers.say("claim", wire(made))
    face.trigger(made.run.id)
    answers.say("claim", {"code": "run-not-found", "detail": "There is no such run."}, 404)
    answers.say("whoami", CALLER | {"queues": ["other"]})
    stranger = {"headers": {"Authorization": "Bearer dibs_c_stranger"}}

    foreign = face.trigger(made.run.id, **stranger)
    missing = face.trigger(UNKNOWN_RUN, **stranger)

    assert code(foreign) == (404, "run_not_found")
    assert foreign.json() == missing.json()
    assert face.http.get(f"/runs/{made.run.id}", **stranger).status_code == 404
    let_go.set()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Basic dXNlcjpwdw=="},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer dibs_a_b, Bearer dibs_c_d"},
        {"Authorization": "Bearer dibs_a_" + "x" * 1000},
    ],
)
def test_what_cannot_be_a_token_is_401_without_a_question(answers, face, headers):
    response = face.trigger(UNKNOWN_RUN, headers=headers)

    assert code(response) == (401, "unauthenticated")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert answers.bodies("whoami") == []


def test_a_refused_token_is_asked_about_once(answers, face):
    answers.say("whoami", {"code": "unauthenticated", "credential": "on-behalf-of"}, 401)

    responses = [face.trigger(UNKNOWN_RUN) for _ in range(3)]

    assert [code(response) for response in responses] == [(401, "unauthenticated")] * 3
    assert len(answers.bodies("whoami")) == 1
    assert answers.bodies("claim") == []


@pytest.mark.parametrize("route", ["whoami", "claim"])
def test_a_401_for_the_executors_own_token_is_not_the_callers(answers, face, route):
    answers.say("whoami", CALLER)
    answers.say(route, {"code": "unauthenticated"}, 401)
    refused = [face.trigger(UNKNOWN_RUN) for _ in range(2)]
    answers.say(route, {"code": "unauthenticated", "credential": "on-behalf-of"}, 401)
    blamed = face.trigger(UNKNOWN_RUN)

    assert [code(response) for response in refused] == [(503, "orchestrator_unavailable")] * 2
    assert refused[0].headers["Retry-After"] == "1"
    assert code(blamed) == (401, "unauthenticated")


def test_a_strangers_garbage_is_429_in_the_end_and_a_good_caller_is_served(
    answers, app, start_executor
):
    answers.say("whoami", CALLER)
    answers.say("claim", {"code": "run-not-found", "detail": "There is no such run."}, 404)
    face = Face(start_executor(app, EXECUTOR_STRANGERS_PER_SECOND="0.1"))
    face.trigger(UNKNOWN_RUN)
    refused_token = {"code": "unauthenticated", "credential": "on-behalf-of"}
    answers.say("whoami", refused_token, 401)
    garbage = [{"Authorization": f"Bearer dibs_c_{number}"} for number in range(40)]

    refused = [face.trigger(UNKNOWN_RUN, headers=headers) for headers in garbage]

    assert {code(response) for response in refused} == {
        (401, "unauthenticated"),
        (429, "rate_limited"),
    }
    too_many = [response for response in refused if response.status_code == 429]
    assert all(1 <= int(response.headers["Retry-After"]) <= 10 for response in too_many)
    assert len(answers.bodies("whoami")) == 1 + len(refused) - len(too_many)
    assert len(answers.bodies("claim")) == 1
    assert code(face.trigger(UNKNOWN_RUN)) == (404, "run_not_found")
    face.http.close()


def test_nobody_can_be_asked_while_the_orchestrator_is_away(answers, face):
    answers.say("whoami", {}, 503)

    response = face.trigger(UNKNOWN_RUN)

    assert code(response) == (503, "orchestrator_unavailable")
    assert response.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("status", "problem", "answered"),
    [
        (403, "insufficient-scope", (403, "insufficient_scope")),
        (404, "run-not-found", (404, "run_not_found")),
        (409, "run-not-claimable", (404, "run_not_claimable")),
        (409, "run-held", (409, "run_held")),
        (410, "run-over", (410, "run_over")),
    ],
)
def test_the_claims_refusals_are_mapped(answers, face, status, problem, answered):
    answers.say("claim", {"code": problem, "detail": "…"}, status, Retry_After="7")

    response = face.trigger(UNKNOWN_RUN)

    assert code(response) == answered
    if problem == "run-held":
        assert response.headers["Retry-After"] == "7"
    assert len(face.executor.in_flight) == 0


def test_pending_data_is_sent_as_the_claims_input(answers, face):
    face.trigger(UNKNOWN_RUN, json={"pendingData": {"approved": True}})
    face.trigger(UNKNOWN_RUN, json={"pendingData": None})
    face.trigger(UNKNOWN_RUN, json={})
    face.trigger(UNKNOWN_RUN)

    with_input, with_null, *without = answers.bodies("claim")
    assert with_input["input"] == {"approved": True}
    assert with_null["input"] is None
    assert all("input" not in body for body in without)


@pytest.mark.parametrize(
    ("content", "content_type", "answered"),
    [
        (b"{", "application/json", (400, "malformed_json")),
        (b"{} {}", "application/json", (400, "malformed_json")),
        (b'{"pendingData": 1e999}', "application/json", (400, "malformed_json")),
        (b"\xef\xbb\xbf{}", "application/json", (400, "malformed_json")),
        (b"[]", "application/json", (422, "validation")),
        (b"null", "application/json", (422, "validation")),
        (b'{"unknown": 1}', "application/json", (422, "validation")),
        (b"{}", "text/plain", (415, "unsupported_media_type")),
        (b"[" * 100_000, "application/json", (400, "malformed_json")),
        (
            b'{"pendingData": ' + b"[" * 40 + b"]" * 40 + b"}",
            "application/json",
            (400, "json_too_complex"),
        ),
        (b" " * 300_000, "application/json", (413, "request_entity_too_large")),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, bytes) else "",
)
def test_a_bad_body_is_refused_and_claims_nothing(answers, face, content, content_type, answered):
    response = face.trigger(UNKNOWN_RUN, content=content, headers={"Content-Type": content_type})

    assert code(response) == answered
    assert answers.bodies("claim") == []


@pytest.mark.parametrize("run_id", ["1", "x" * 500, UNKNOWN_RUN.replace("-", ""), "%00", "{}"])
def test_what_is_no_run_id_is_not_found_without_a_claim(answers, face, run_id):
    assert face.trigger(run_id).status_code == 404
    assert answers.bodies("claim") == []


def test_no_free_slot_is_503_without_a_claim(app, answers, start_executor, dispatch):
    let_go = threading.Event()
    app.step("refund")(lambda _: let_go.wait(WAIT_SECONDS))
    made = dispatch()
    answers.say("whoami", CALLER)
    answers.say("claim", wire(made))
    face = Face(start_executor(app, EXECUTOR_SLOTS="1"))
    face.trigger(made.run.id)

    refused = face.trigger(UNKNOWN_RUN)

    assert code(refused) == (503, "no_free_slot")
    assert len(answers.bodies("claim")) == 1
    let_go.set()
    face.http.close()


def test_a_draining_executor_takes_no_trigger_and_says_so(answers, face):
    face.executor.runner.drain()

    assert code(face.trigger(UNKNOWN_RUN)) == (503, "draining")
    assert answers.bodies("claim") == []
    health = face.http.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "draining")


def test_the_status_for_runs_in_flight_can_be_409(app, answers, start_executor, dispatch):
    let_go = threading.Event()
    app.step("refund")(lambda _: let_go.wait(WAIT_SECONDS))
    made = dispatch()
    answers.say("whoami", CALLER)
    answers.say("claim", wire(made))
    face = Face(start_executor(app, EXECUTOR_IN_FLIGHT_STATUS="409"))
    face.trigger(made.run.id)

    assert code(face.trigger(made.run.id)) == (409, "run_already_in_flight")
    let_go.set()
    face.http.close()


def test_that_a_run_is_being_asked_for_is_told_to_whoever_asks_for_it_and_to_nobody_else(
    answers, face
):
    asks, go_on = threading.Event(), threading.Event()
    missing = {"code": "run-not-found", "detail": "There is no such run."}

    def claim(body):
        asks.set()
        assert go_on.wait(WAIT_SECONDS)
        return 404, missing

    answers.say("claim", claim).then("claim", missing, 404)
    another = {"headers": {"Authorization": "Bearer dibs_c_another"}}
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(face.trigger, UNKNOWN_RUN)
        assert asks.wait(WAIT_SECONDS)
        again, anothers = face.trigger(UNKNOWN_RUN), face.trigger(UNKNOWN_RUN, **another)
        go_on.set()

    assert code(again) == (400, "run_already_in_flight")
    assert code(first.result()) == code(anothers) == (404, "run_not_found")
    assert len(answers.bodies("claim")) == 2


def test_a_run_that_a_poll_brings_while_a_trigger_asks_for_it_is_executed(
    app, answers, face, dispatch
):
    app.step("refund")(lambda _: "done")
    made = dispatch()

    def claimed_by_the_poll_meanwhile(body):
        answers.say("claims", {"dispatches": [wire(made)]}).then("claims", {"dispatches": []})
        # The second claim from now on is sent after the first was dealt with.
        answers.wait_for("claims", len(answers.bodies("claims")) + 3)
        return 409, {"code": "run-held", "detail": "Held."}

    answers.say("claim", claimed_by_the_poll_meanwhile)

    refused = face.trigger(made.run.id)

    (body,) = answers.wait_for("reports")
    assert body["reports"][0]["outcome"] == {"status": "success", "output": "done"}
    assert answers.bodies("release") == []
    assert refused.status_code in (400, 409)


def test_a_run_is_shown_with_its_step_while_it_is_in_flight(app, answers, face, dispatch):
    let_go = threading.Event()
    app.step("refund")(lambda _: let_go.wait(WAIT_SECONDS))
    made = dispatch()
    answers.say("claim", wire(made))
    face.trigger(made.run.id)

    shown = face.http.get(f"/runs/{made.run.id}").json()

    assert shown["runId"] == made.run.id
    assert shown["inFlight"]
    assert shown["step"] == {"index": 0, "name": "refund", "type": "refund"}
    assert code(face.http.get(f"/runs/{UNKNOWN_RUN}")) == (404, "run_not_found")
    let_go.set()


def test_health_is_open_and_every_other_answer_is_json_too(face):
    without_token = {"headers": {"Authorization": ""}}

    assert face.http.get("/health", **without_token).json()["status"] == "ok"
    assert code(face.http.get("/nothing-here")) == (404, "not_found")
    wrong_method = face.http.get(f"/runs/{UNKNOWN_RUN}/trigger")
    assert code(wrong_method) == (405, "method_not_allowed")
    assert "POST" in wrong_method.headers["Allow"]
