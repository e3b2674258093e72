"""What is reported of a step, for every way in which its handler may end."""

import asyncio
from datetime import UTC, datetime

import orjson
import pytest

from executor import AwaitInput, Later, OutcomeUnknown, StepCancelled, StepError, Success
from executor.execution import Cancellation
from executor.verdict import outcome_of, timed_out


def outcome(result=None, raised=None, cause=None, *, mutating=False):
    found = outcome_of(result, raised, cause, mutating=mutating)
    return None if found is None else orjson.loads(orjson.dumps(found))


def test_a_returned_output_is_a_success():
    assert outcome({"a": 1}) == {"status": "success", "output": {"a": 1}}


def test_success_chooses_what_comes_next():
    assert outcome(Success(1, next="pay")) == {"status": "success", "output": 1, "next": "pay"}


@pytest.mark.parametrize(
    ("raised", "mutating", "retryable"),
    [
        (ValueError("no"), False, True),
        (ValueError("no"), True, False),
        (SystemExit(1), False, True),
        (KeyboardInterrupt(), True, False),
        (StepError("no"), False, True),
        (StepError("no"), True, False),
        (StepError("no", retryable=False), False, False),
        (StepError("nothing happened", retryable=True), True, True),
        (asyncio.CancelledError(), False, True),
    ],
)
def test_an_exception_is_an_error_and_a_mutating_one_may_not_be_retried_unless_it_says_so(
    raised, mutating, retryable
):
    found = outcome(raised=raised, mutating=mutating)

    assert found["status"] == "error"
    assert found["retryable"] is retryable
    assert found["message"]


def test_the_exceptions_that_steer_become_their_outcomes():
    at = datetime(2027, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)

    assert outcome(raised=OutcomeUnknown("no answer")) == {
        "status": "unknown",
        "message": "no answer",
    }
    assert outcome(raised=Later(at)) == {
        "status": "later",
        "availableAt": "2027-01-31T12:00:00.123+00:00",
    }
    assert outcome(raised=AwaitInput({"type": "object"}, timeout_seconds=60, on_timeout="ask")) == {
        "status": "awaiting-input",
        "waitingFor": {
            "schema": {"type": "object"},
            "timeoutSeconds": 60,
            "onTimeout": {"next": "ask"},
        },
    }
    assert outcome(raised=AwaitInput({}, on_timeout="fail"))["waitingFor"]["onTimeout"] == "fail"


def test_a_time_without_a_zone_is_refused_where_it_is_made():
    with pytest.raises(ValueError, match="time zone"):
        Later(datetime(2027, 1, 31))  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize(
    ("mutating", "status"), [(False, "error"), (True, "unknown")], ids=["plain", "mutating"]
)
def test_an_output_that_does_not_fit_is_the_steps_own_outcome(mutating, status):
    assert outcome(object(), mutating=mutating)["status"] == status
    assert outcome(raised=AwaitInput({"a": "\x00"}), mutating=mutating)["status"] == status


def test_a_next_that_is_no_name_is_an_error():
    assert outcome(Success(1, next="no such\x00name"))["status"] == "error"


def test_a_message_loses_what_cannot_be_stored():
    found = outcome(raised=StepError("a\x00b\ud800" + "x" * 10_000))

    assert "\x00" not in found["message"]
    assert len(found["message"]) <= 4000


@pytest.mark.parametrize("raised", [StepCancelled(), asyncio.CancelledError(), OSError("cut off")])
@pytest.mark.parametrize(("mutating", "status"), [(False, "error"), (True, "unknown")])
def test_a_step_that_stopped_for_an_abort_is_unknown_when_mutating(raised, mutating, status):
    assert outcome(raised=raised, cause=Cancellation.ABORT, mutating=mutating)["status"] == status


@pytest.mark.parametrize("mutating", [False, True])
def test_a_step_that_stopped_for_a_drain_is_given_back(mutating):
    assert outcome(raised=StepCancelled(), cause=Cancellation.DRAINING, mutating=mutating) is None


@pytest.mark.parametrize("cause", [Cancellation.ABORT, Cancellation.DRAINING])
def test_what_a_handler_knows_of_its_end_is_written_although_it_was_told_to_stop(cause):
    assert outcome("receipt", cause=cause, mutating=True)["status"] == "success"
    assert outcome(raised=OutcomeUnknown("?"), cause=cause)["status"] == "unknown"


def test_a_time_out_is_an_error_and_unknown_when_mutating():
    assert timed_out(1.5, mutating=False) == {
        "status": "error",
        "message": "timed out after 1.5 s",
        "retryable": True,
    }
    assert timed_out(1.5, mutating=True)["status"] == "unknown"
