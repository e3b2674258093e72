"""The client and its repeats, against a socket that misbehaves as it is told."""

import contextlib
import time
from email.utils import formatdate

import httpx2
import pytest

from executor import retry
from executor.client import Identity, Orchestrator
from executor.deadline import monotonic_seconds
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


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_request_that_was_not_answered_is_repeated_under_its_id(answers, connect, status):
    answers.say("reports", {}, status).then("reports", {"results": []})
    orchestrator = connect(answers.url)

    until_answered(
        lambda: orchestrator.report([], chain=True, request_id="r-1"), give_up=lambda: False
    )

    assert answers.request_ids("reports") == ["r-1", "r-1"]


def test_a_request_that_nobody_heard_is_repeated(answers, connect):
    orchestrators = iter([connect("http://127.0.0.1:9"), connect(answers.url)])

    claimed = until_answered(lambda: claim(next(orchestrators)), give_up=lambda: False)

    assert claimed.dispatches == ()
    assert next(orchestrators, None) is None


@pytest.mark.parametrize("status", [408, 429, 500, 503])
@pytest.mark.parametrize("seconds", [0, 3])
def test_when_to_come_back_is_read_from_every_such_answer(answers, connect, status, seconds):
    answers.say("claims", {}, status, Retry_After=str(seconds))

    with pytest.raises(UnansweredError) as unanswered:
        claim(connect(answers.url))
    assert unanswered.value.retry_after_seconds == seconds


@pytest.mark.parametrize(("ahead_seconds", "expected"), [(300, 300), (-300, 0)])
def test_when_to_come_back_may_be_a_date(answers, connect, ahead_seconds, expected):
    at = formatdate(time.time() + ahead_seconds, usegmt=True)
    answers.say("claims", {}, 503, Retry_After=at)

    with pytest.raises(UnansweredError) as unanswered:
        claim(connect(answers.url))
    assert unanswered.value.retry_after_seconds == pytest.approx(expected, abs=60)


@pytest.mark.parametrize(
    "text", ["soon", "-1", "1.5", "9" * 400, "Wed, 21 Oct 2026 07:28:30 -0000", "", None]
)
def test_an_answer_that_does_not_say_when_is_repeated_like_any_other(answers, connect, text):
    headers = {} if text is None else {"Retry_After": text}
    answers.say("claims", {}, 503, **headers)

    with pytest.raises(UnansweredError) as unanswered:
        claim(connect(answers.url))
    assert unanswered.value.retry_after_seconds is None


def test_retry_after_is_waited_for(answers, connect):
    answers.say("claims", {}, 503, Retry_After="1").then("claims", CLAIMED)
    orchestrator = connect(answers.url)
    began_at = monotonic_seconds()

    until_answered(lambda: claim(orchestrator), give_up=lambda: False)

    assert monotonic_seconds() - began_at >= 1


def test_a_retry_after_of_0_is_no_leave_to_ask_without_a_pause(answers, connect, monkeypatch):
    monkeypatch.setattr(retry.random, "uniform", lambda _least, _most: 0.3)
    answers.say("claims", {}, 429, Retry_After="0").then("claims", CLAIMED)
    orchestrator = connect(answers.url)
    began_at = monotonic_seconds()

    until_answered(lambda: claim(orchestrator), give_up=lambda: False)

    assert monotonic_seconds() - began_at >= 0.3


def test_retry_after_cannot_stop_an_executor_for_days(answers, connect, monkeypatch):
    monkeypatch.setattr(retry, "LONGEST_RETRY_AFTER_SECONDS", 0.1)
    answers.say("claims", {}, 503, Retry_After="999999").then("claims", CLAIMED)
    orchestrator = connect(answers.url)

    until_answered(lambda: claim(orchestrator), give_up=lambda: False)

    assert len(answers.bodies("claims")) == 2


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
