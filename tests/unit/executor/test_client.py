"""The client and its repeats, against a socket that misbehaves as it is told."""

import contextlib

import httpx2
import pytest

from executor.client import Identity, Orchestrator
from executor.retry import until_answered
from executor.transport import RefusedError, UnansweredError

IDENTITY = Identity(token="dibs_k_secret", instance="e1", session="s")
CLAIMED = {"dispatches": [], "nextPollAfterMs": 7}


@pytest.fixture
def connect():
    with contextlib.ExitStack() as opened:

        def connect(url):
            orchestrator = Orchestrator(url, IDENTITY, httpx2.create_ssl_context())
            opened.callback(orchestrator.close)
            return orchestrator

        yield connect


def claim(orchestrator):
    return orchestrator.claim(
        request_id="q", queues=["default"], limit=1, lease_seconds=30, wait_seconds=0
    )


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 302])
def test_an_answer_that_tells_nothing_counts_as_none(answers, connect, status):
    answers.say("claims", {}, status)
    orchestrator = connect(answers.url)

    with pytest.raises(UnansweredError):
        claim(orchestrator)
    assert orchestrator.is_away


@pytest.mark.parametrize("answer", [b"<html>", b"", b"[]", b'{"dispatches": 1}'])
def test_what_is_not_an_answer_of_an_orchestrator_counts_as_none(answers, connect, answer):
    answers.say("claims", answer)
    orchestrator = connect(answers.url)

    with pytest.raises(UnansweredError):
        claim(orchestrator)


def test_nobody_listening_counts_as_no_answer(connect):
    with pytest.raises(UnansweredError):
        claim(connect("http://127.0.0.1:9"))


def test_a_refusal_carries_its_code_and_when_to_come_back(answers, connect):
    problem = {"code": "run-held", "status": 409, "detail": "Held by another."}
    answers.say("claims", problem, 409, Retry_After="3")
    orchestrator = connect(answers.url)

    with pytest.raises(RefusedError, match="Held by another") as refused:
        claim(orchestrator)
    assert refused.value.status == 409
    assert refused.value.code == "run-held"
    assert refused.value.retry_after_seconds == 3
    assert not orchestrator.is_away


def test_a_refusal_without_a_problem_document_is_a_refusal(answers, connect):
    answers.say("claims", b"no", 403)
    orchestrator = connect(answers.url)

    with pytest.raises(RefusedError) as refused:
        claim(orchestrator)
    assert refused.value.status == 403


def test_a_request_is_repeated_with_the_same_body_until_it_is_answered(answers, connect):
    answers.say("claims", {}, 503).then("claims", b"garbage")
    answers.then("claims", {}, 429, Retry_After="0").then("claims", CLAIMED)
    orchestrator = connect(answers.url)

    claimed = until_answered(lambda: claim(orchestrator), give_up=lambda: False)

    assert claimed.next_poll_after_ms == 7
    repeats = answers.bodies("claims")
    assert len(repeats) == 4
    assert all(repeat == repeats[0] for repeat in repeats)


def test_a_refusal_is_not_repeated(answers, connect):
    answers.say("claims", {"code": "validation"}, 422)
    orchestrator = connect(answers.url)

    with pytest.raises(RefusedError):
        until_answered(lambda: claim(orchestrator), give_up=lambda: False)
    assert len(answers.bodies("claims")) == 1


def test_giving_up_is_asked_for_after_each_attempt(connect):
    attempts = iter([False, False, True])
    orchestrator = connect("http://127.0.0.1:9")

    with pytest.raises(UnansweredError):
        until_answered(lambda: claim(orchestrator), give_up=lambda: next(attempts))
    assert next(attempts, None) is None
