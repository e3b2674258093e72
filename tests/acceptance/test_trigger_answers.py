"""What a trigger is answered, case by case; nothing of it executes anything."""

from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest

from orchestrator.dev.ports import LOOPBACK
from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, outcome_of
from tests.acceptance.journal import Gates, Journal
from tests.acceptance.processes import Executor
from tests.acceptance.stage import Fleet, Stage, make_token
from tests.acceptance.waiting import eventually
from tests.ports import OwnPort

NOBODYS = "01890000-0000-7000-8000-0000000000ab"


def told(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code of a refusal; it has an `error` too, and nothing else."""
    body = answer.json()
    assert body.keys() == {"error", "code"}
    return answer.status_code, body["code"]


@pytest.fixture(scope="module")
def shared_fleet(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One executor for all tests here that leave it as it was."""
    with closing(Fleet(stage, "trigger-answers", tmp_path_factory.mktemp("fleet"))) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def executor(shared_fleet: Fleet) -> Executor:
    return shared_fleet.start_idle("shared", lease_seconds=30)


@pytest.fixture
def caller(executor: Executor) -> Client:
    return executor.caller()


@pytest.mark.parametrize(
    "token",
    [
        None,
        "nonsense",
        "dibs_0123456789abcdef_unknown-key",
        "dibs_0123456789abcdef_" + "x" * 600,
    ],
)
def test_a_caller_without_a_good_token_is_not_let_in(
    executor: Executor, web: Client, queue: str, token: str | None
) -> None:
    run_id = web.create(queue)

    with closing(Client(executor.url, token)) as stranger:
        answer = stranger.trigger(run_id)

    assert told(answer) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert web.kinds(run_id) == ["created"]


def test_a_token_with_another_secret_is_not_let_in(
    stage: Stage, executor: Executor, web: Client, queue: str
) -> None:
    run_id = web.create(queue)
    forged = stage.tokens[Role.CLIENT][:-4] + "0000"

    assert told(executor.caller(forged).trigger(run_id)) == (401, "unauthenticated")
    assert web.kinds(run_id) == ["created"]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EXECUTOR])
def test_a_caller_whose_role_may_not_trigger_is_told_403(
    stage: Stage, executor: Executor, web: Client, queue: str, role: Role
) -> None:
    run_id = web.create(queue)

    answer = executor.caller(stage.tokens[role]).trigger(run_id)

    assert told(answer) == (403, "insufficient_scope")
    assert web.kinds(run_id) == ["created"]


@pytest.mark.parametrize("run_id", [NOBODYS, "1", "abc", NOBODYS.upper(), "x" * 5000])
def test_an_unknown_run_is_404(caller: Client, run_id: str) -> None:
    assert told(caller.trigger(run_id)) == (404, "run_not_found")


def test_a_run_of_another_queue_looks_like_a_missing_one(
    stage: Stage, shared_fleet: Fleet, executor: Executor, web: Client, queue: str
) -> None:
    token = make_token(stage.database, f"narrow-{queue}"[:60], Role.CLIENT, queues=("elsewhere",))
    stranger = executor.caller(token)
    in_flight = web.create(queue, "hold", input={"gate": "gate"})
    assert executor.caller().trigger(in_flight).is_success
    shared_fleet.journal.wait_for(in_flight)
    pending = web.create(queue)

    answers = [stranger.trigger(run_id) for run_id in (in_flight, pending, NOBODYS)]

    assert [told(answer) for answer in answers] == [(404, "run_not_found")] * 3
    assert len({answer.text for answer in answers}) == 1
    assert stranger.send("GET", f"/runs/{in_flight}").status_code == 404
    shared_fleet.gates.open("gate")
    web.wait_for(in_flight, "finished")
    assert web.kinds(pending) == ["created"]


def test_a_run_that_cannot_be_claimed_now_is_404(caller: Client, web: Client, queue: str) -> None:
    not_due = web.create(queue, availableAt="2999-01-01T00:00:00.000Z")
    not_waiting = web.create(queue)

    assert told(caller.trigger(not_due)) == (404, "run_not_claimable")
    answer = caller.trigger(not_waiting, {"pendingData": {}})
    assert told(answer) == (404, "run_not_claimable")


def test_a_run_that_another_executor_holds_is_409_with_the_time_to_come_back(
    caller: Client, web: Client, holder: Client, queue: str
) -> None:
    run_id = web.create(queue)
    (held,) = holder.claim(queue, leaseSeconds=20)

    answer = caller.trigger(run_id)

    assert told(answer) == (409, "run_held")
    assert 1 <= int(answer.headers["Retry-After"]) <= 20
    holder.report(outcome_of(held, {"status": "success", "output": None}))
    assert told(caller.trigger(run_id)) == (410, "run_over")


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"{", "application/json", (400, "malformed_json")),
        (b"{}", "text/plain", (415, "unsupported_media_type")),
        (b"[]", "application/json", (422, "validation")),
        (b'{"pendingDatum": 1}', "application/json", (422, "validation")),
        (b'{"pendingData": "\\u0000"}', "application/json", (422, "unsupported_character")),
        (b'{"pendingData": "\\ud800"}', "application/json", (400, "malformed_json")),
        (b'{"pendingData": NaN}', "application/json", (400, "malformed_json")),
        (
            b'{"pendingData": ' + b"[" * 60 + b"]" * 60 + b"}",
            "application/json",
            (400, "json_too_complex"),
        ),
        (
            b'{"pendingData": ' + b"[" * 99_999 + b"]" * 99_999 + b"}",
            "application/json",
            (400, "malformed_json"),
        ),
        (
            b'{"pendingData": "' + b"x" * 262_200 + b'"}',
            "application/json",
            (413, "request_entity_too_large"),
        ),
        (b"\xff\xfe", "application/json", (400, "malformed_json")),
    ],
)
def test_a_bad_body_is_refused_and_claims_nothing(
    caller: Client,
    web: Client,
    queue: str,
    body: bytes,
    content_type: str,
    expected: tuple[int, str],
) -> None:
    run_id = web.create(queue, "ask")

    answer = caller.send(
        "POST",
        f"/runs/{run_id}/trigger",
        content=body,
        headers={"Content-Type": content_type},
    )

    assert told(answer) == expected
    assert web.kinds(run_id) == ["created"]


def test_other_paths_and_methods_are_answered_as_json(caller: Client) -> None:
    assert told(caller.send("GET", "/nothing")) == (404, "not_found")
    answer = caller.send("GET", f"/runs/{NOBODYS}/trigger")
    assert told(answer) == (405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


def test_without_an_orchestrator_a_trigger_is_503(fleet: Fleet) -> None:
    nobodys_port = OwnPort()
    executor = fleet.start("one", url=f"http://{LOOPBACK}:{nobodys_port.number}")

    answer = executor.caller().trigger(NOBODYS)

    assert told(answer) == (503, "orchestrator_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


def test_without_a_free_slot_a_trigger_is_503(
    fleet: Fleet, web: Client, queue: str, journal: Journal, gates: Gates
) -> None:
    caller = fleet.start_idle("one", slots=1).caller()
    first, second = web.create_many(queue, 2, "hold", input={"gate": "gate"})
    assert caller.trigger(first).is_success

    answer = caller.trigger(second)

    assert told(answer) == (503, "no_free_slot")
    assert int(answer.headers["Retry-After"]) >= 1
    gates.open("gate")
    web.wait_for(first, "finished")
    assert journal.executions() == {first: 1}


def test_a_draining_executor_answers_503_and_still_knows_its_duplicates(
    fleet: Fleet, web: Client, queue: str, journal: Journal, gates: Gates
) -> None:
    executor = fleet.start_idle("one", EXECUTOR_STOP_TIMEOUT_S="20")
    caller = executor.caller()
    run_id, other = web.create_many(queue, 2, "hold", input={"gate": "gate"})
    assert caller.trigger(run_id).is_success
    journal.wait_for(run_id)

    executor.ask_to_end()
    eventually(lambda: executor.health()["status"] == "draining")

    assert told(caller.trigger(run_id)) == (400, "run_already_in_flight")
    assert told(caller.trigger(other)) == (503, "draining")
    gates.open("gate")
    assert executor.wait_for_exit() == 0
    assert web.run(run_id)["runState"] == "finished"
    assert web.kinds(other) == ["created"]
