"""The double behaves as the executor was seen to, so that what it proves is worth something."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.racing import at_once
from tests.acceptance.waiting import eventually
from tests.compat.agent import Agent, agent_of
from tests.compat.double.chain import CHAIN_ENDED
from tests.compat.double.poller import POLL_SKIPPED
from tests.compat.double.web_token import verify
from tests.compat.doubles import USER_ID, USERS_KEY, Double, Doubles
from tests.compat.recorded import Json, session
from tests.compat.recording import POLL, Recording, played
from tests.compat.stand_in import Asked, Reply, StandIn, stand_in

ROUTES = "/api/workflow-orchestrator"
SECRET = "a" * 64
RUN_ID = 101
GIVEN = [{"userConfirmed": True}, {"userInput": "done by hand"}, {"selectedOption": "Yes"}]

Start = Callable[..., Double]


@pytest.fixture
def agent() -> Iterator[Agent]:
    with agent_of(USERS_KEY) as agent:
        yield agent


@pytest.fixture
def start(agent: Agent, tmp_path: Path) -> Iterator[Start]:
    """Starts doubles that believe what the test answers them."""
    with ExitStack() as stack:

        def start(answer: Callable[[Asked], Reply], **options: Any) -> Double:
            server = stack.enter_context(stand_in(answer))
            doubles = Doubles(server.url, agent.url, tmp_path)
            stack.callback(doubles.close)
            return doubles.start(SECRET, **options)

        yield start


def recorded_run(step: int) -> Json:
    """The run of the recorded session at one of its steps."""
    runs = (run for exchange in session().to("orchestrator") for run in exchange.runs)
    return next(run for run in runs if len(run["workflowHistory"]) == step + 1)


def answering(**answers: Reply) -> Callable[[Asked], Reply]:
    """By the last word of the route; what is not named gets what works, and no next step."""
    schema = next(one for one in session().to("orchestrator") if "/collection-schema/" in one.path)
    working = {
        "metadata": Reply(204),
        "pending": Reply.json([]),
        "available": Reply.json(recorded_run(1)),
        "step": Reply.json(None),
        "schema": Reply.json(schema.answer),
        "log": Reply.json({"data": {"id": "1", "attributes": {"index": "x"}}}),
        "status": Reply(204),
        "access": Reply.json({"hasAccess": True}),
    }
    routes = {
        "executor-metadata": "metadata",
        "pending-run": "pending",
        "available-run": "available",
        "update-step": "step",
        "collection-schema": "schema",
        "access-check": "access",
        "/status": "status",
        "activity-logs-requests": "log",
    }

    def answer(asked: Asked) -> Reply:
        route = next(name for part, name in routes.items() if part in asked.path)
        return answers.get(route, working[route])

    return answer


def triggered(double: Double, given: Json | None = None) -> int:
    return double.trigger(RUN_ID, given)


def test_it_plays_the_recorded_session_request_by_request(tmp_path: Path) -> None:
    orchestrator = Recording([*session().to("orchestrator")])
    agent = Recording([*session().to("agent")])
    with stand_in(orchestrator.answer) as one, stand_in(agent.answer) as other:
        doubles = Doubles(one.url, other.url, tmp_path)
        double = doubles.start(SECRET, poll_seconds=1.0)
        eventually(lambda: reported(one, "awaiting-input") == 1)
        with double.user() as user:
            looks = [user.send("GET", f"/runs/{RUN_ID}")]
            for count, given in enumerate(GIVEN, start=1):
                assert triggered(double, given) == 200
                eventually(lambda past=count: reported(one) >= (5, 7, 10)[past - 1])
            looks.append(user.send("GET", f"/runs/{RUN_ID}"))
        recorded = [
            (each.to, each.method, each.path, each.body)
            for each in session().to("orchestrator", "agent")
        ]
        eventually(lambda: len(played(double)) >= len(recorded), what="all was answered")
        ended = ended_by_itself(double)

    assert [key_of(each) for each in played(double)] == recorded
    assert orchestrator.left == agent.left == []
    assert orchestrator.unexpected == agent.unexpected == []
    assert [look.status_code for look in looks] == [200, 200]
    assert [len(look.json()["steps"]) for look in looks] == [
        each.answer["steps"] for each in session().to("executor") if each.method == "GET"
    ]
    assert (ended, double.stumbled()) == (0, [])


def key_of(asked: Json) -> tuple[str, str, str, Any]:
    return asked["to"], asked["method"], asked["path"], asked["body"]


def reported(server: StandIn, kind: str | None = None) -> int:
    """How many reports have arrived, of one kind if it is given."""
    kinds = [
        asked.body["executionStatus"]["type"]
        for asked in server.asked
        if asked.path == f"{ROUTES}/update-step"
    ]
    return len([each for each in kinds if kind in (None, each)])


def ended_by_itself(double: Double) -> int:
    double.ask_to_end()
    return double.wait_for_exit()


def test_its_token_tells_the_agent_what_the_recorded_one_told(start: Start) -> None:
    double = start(answering())
    recorded = next(each.claims for each in session().to("agent") if each.claims)

    assert triggered(double) == 200
    double.wait_for_reports(1)

    (call,) = [each for each in double.asked("agent") if each["method"] == "PUT"]
    claims = verify(call["headers"]["Authorization"].removeprefix("Bearer "), USERS_KEY)
    assert claims.pop("exp") - claims.pop("iat") == 300
    assert claims == recorded


def test_a_poll_answered_without_a_list_is_skipped_and_the_next_one_goes_on(start: Start) -> None:
    bodies = itertools.chain([Reply(204), Reply.json(None), Reply(500)], itertools.repeat(None))
    fine = answering()

    def answer(asked: Asked) -> Reply:
        return (next(bodies) if asked.path == POLL else None) or fine(asked)

    double = start(answer, poll_seconds=0.05)

    eventually(lambda: len(double.asked(path=POLL)) > 4)
    assert len(double.stumbled()) == 2
    assert len(double.said(POLL_SKIPPED)) == 1


def test_a_run_that_is_not_handed_out_is_asked_for_once_and_not_reported(start: Start) -> None:
    told = [
        (Reply.json(None), 404),
        (Reply(204), 500),
        (Reply.json({}), 500),
        *((Reply.json({}, status), 503) for status in (403, 404, 409, 410, 423, 429, 500, 503)),
    ]
    answers: dict[str, Reply] = {}
    double = start(lambda asked: answering(**answers)(asked))

    for answer, status in told:
        answers["available"] = answer
        assert triggered(double) == status, answer

    assert len(double.asked(path=f"{ROUTES}/available-run")) == len(told)
    assert len(double.stumbled()) == 2
    assert double.reports() == []


def test_somebody_elses_run_is_refused_when_it_was_claimed_and_nobody_is_told(
    start: Start,
) -> None:
    double = start(answering())

    with double.user(USER_ID + 1) as stranger:
        assert stranger.trigger(str(RUN_ID)).status_code == 403
    assert len(double.asked(path=f"{ROUTES}/available-run")) == 1
    assert double.reports() == []


def test_a_report_answered_503_goes_four_times_with_the_identical_body(start: Start) -> None:
    double = start(answering(step=Reply(503)))

    assert triggered(double) == 200
    eventually(lambda: double.said(CHAIN_ENDED))

    bodies = [each["body"] for each in double.reports()]
    assert len(bodies) == 4
    assert bodies == [bodies[0]] * 4


@pytest.mark.parametrize("status", [404, 409])
def test_a_refused_report_ends_the_chain_at_once(start: Start, status: int) -> None:
    double = start(answering(step=Reply(status)))

    assert triggered(double) == 200
    eventually(lambda: double.said(CHAIN_ENDED))

    assert len(double.reports()) == 1
    assert double.stumbled() == []


@pytest.mark.parametrize("status", [403, 409])
def test_what_the_activity_log_refuses_is_not_done_and_reported_as_an_error(
    start: Start, agent: Agent, status: int
) -> None:
    double = start(answering(log=Reply(status)))

    assert triggered(double) == 200
    (report,) = double.wait_for_reports(1)

    assert report["body"]["executionStatus"]["type"] == "error"
    assert report["body"]["executionStatus"]["message"]
    assert len(double.asked(path="/api/activity-logs-requests")) == 1
    assert agent.calls() == []


def test_a_run_that_it_is_handed_twice_at_once_is_executed_twice(
    start: Start, agent: Agent
) -> None:
    double = start(answering(), latency_seconds=0.05)

    assert at_once([partial(triggered, double)] * 2) == [200, 200]
    double.wait_for_reports(2)

    # The races would show it: whatever keeps a run from that is the orchestrator's.
    assert len(agent.writes()) == 2


@pytest.mark.parametrize("following", [1, 0])
def test_an_answer_that_is_not_a_later_step_ends_the_chain(start: Start, following: int) -> None:
    double = start(answering(step=Reply.json(recorded_run(following))))

    assert triggered(double) == 200
    eventually(double.stumbled)

    assert len(double.reports()) == 1


def test_a_step_that_cannot_be_mapped_is_reported_and_the_trigger_says_400(start: Start) -> None:
    run = recorded_run(0)
    run["workflowHistory"][-1]["stepDefinition"] = {"type": "task", "taskType": "make-tea"}
    double = start(answering(available=Reply.json(run)))

    assert triggered(double) == 400
    (report,) = double.reports()

    assert report["body"]["executionStatus"]["type"] == "error"


def test_terminated_in_mid_chain_it_reports_what_it_executes_and_drops_what_follows(
    start: Start, agent: Agent
) -> None:
    double = start(answering(step=Reply.json(recorded_run(5))), hold_at=["before-report"])
    assert triggered(double) == 200
    double.wait_at("before-report")

    double.ask_to_end()
    double.open("before-report")

    assert double.wait_for_exit() == 0
    assert len(double.reports()) == 1
    assert len(agent.writes()) == 1
