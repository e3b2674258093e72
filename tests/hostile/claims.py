"""Polls that ask for what there is not, and requests that come again: B31 to B38."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import orjson

from tests.acceptance.client import outcome_of
from tests.contract.raw_http import RawAnswer
from tests.hostile.case import SERVED, VALIDATION, Case, Told
from tests.hostile.place import EXECUTOR, JSON, Place, a_queue, claim_of
from tests.hostile.reports import SUCCESS
from tests.hostile.run_ids import OTHER_FORMS

KEY_INVALID: Final[Told] = (400, "idempotency-key-invalid")
KEY_REUSED: Final[Told] = (422, "idempotency-key-reused")
REQUEST_ID_REUSED: Final[Told] = (422, "request-id-reused")
# Of one request, sent at once.
COPIES: Final = 4


def _with(place: Place, members: dict[str, Any]) -> RawAnswer:
    return place.send("POST", "/v1/claims", claim_of("default", **members), by=EXECUTOR)


def _beyond_64_bits(place: Place) -> RawAnswer:
    # What the tests' own JSON writer does not write.
    body = orjson.dumps(claim_of("default", limit=1)).replace(b'"limit":1', b'"limit":%d' % 2**64)
    return place.send("POST", "/v1/claims", body, by=EXECUTOR, headers=JSON)


def _without(place: Place, name: str) -> RawAnswer:
    body = claim_of("default")
    del body[name]
    return place.send("POST", "/v1/claims", body, by=EXECUTOR)


def _with_key(place: Place, key: bytes) -> RawAnswer:
    return _create(place, a_queue(), key)


def _create(place: Place, queue: str, key: bytes, **members: Any) -> RawAnswer:
    body = {"workflow": "refund", "queue": queue, **members}
    return place.send("POST", "/v1/runs", body, headers={"Idempotency-Key": key})


def _request_id_again(place: Place) -> RawAnswer:
    queue = a_queue()
    place.create(queue)
    body = claim_of(queue)
    place.ask("POST", "/v1/claims", body, by=EXECUTOR)
    return place.send("POST", "/v1/claims", {**body, "limit": 2}, by=EXECUTOR)


def _key_again(place: Place) -> RawAnswer:
    queue = a_queue()
    first, other = (_create(place, queue, queue.encode(), priority=one) for one in (0, 1))
    assert first.status == 201
    assert len(place.runs_of(queue)) == 1
    return other


def _key_again_with_the_same(place: Place) -> RawAnswer:
    queue = a_queue()
    first, again = (_create(place, queue, queue.encode()) for _ in range(2))
    assert first.status == 201
    assert again.body == first.body
    assert len(place.runs_of(queue)) == 1
    return again


def _claims_at_once(place: Place) -> RawAnswer:
    queue = a_queue()
    for _ in range(COPIES):
        place.create(queue)
    body = claim_of(queue)
    with ThreadPoolExecutor(COPIES) as pool:
        sent = [
            pool.submit(place.send, "POST", "/v1/claims", body, by=EXECUTOR) for _ in range(COPIES)
        ]
        answers = [each.result() for each in sent]
    assert {answer.status for answer in answers} == {200}
    told = [orjson.loads(answer.body) for answer in answers]
    assert len({one["lease"]["id"] for each in told for one in each["dispatches"]}) == 1
    assert sorted(each["replayed"] for each in told) == [False, *[True] * (COPIES - 1)]
    return answers[0]


def _creates_at_once(place: Place) -> RawAnswer:
    queue = a_queue()
    with ThreadPoolExecutor(COPIES) as pool:
        sent = [pool.submit(_create, place, queue, queue.encode()) for _ in range(COPIES)]
        answers = [each.result() for each in sent]
    assert sorted(answer.status for answer in answers) == [*[200] * (COPIES - 1), 201]
    assert len(place.runs_of(queue)) == 1
    return answers[0]


def _after_its_leases(place: Place) -> RawAnswer:
    queue = a_queue()
    place.create(queue)
    body = claim_of(queue)
    (dispatch,) = place.ask("POST", "/v1/claims", body, by=EXECUTOR)["dispatches"]
    place.report(outcome_of(dispatch, SUCCESS))
    waiting = place.create(queue)

    answer = place.send("POST", "/v1/claims", body, by=EXECUTOR)

    told = orjson.loads(answer.body)
    assert (told["dispatches"], told["replayed"]) == ([], True)
    assert place.run(waiting)["runState"] == "pending"
    return answer


CASES: Final = (
    *(
        Case(row, f"{name} {value!r:.24}", partial(_with, members={name: value}), (VALIDATION,))
        for row, name, values in (
            ("B30", "runner", ("one",)),
            ("B31", "limit", ("5", 5.0, True, None)),
            ("B31", "session", (7,)),
            ("B31", "waitSeconds", (-1, 31)),
            ("B32", "limit", (0, -1, 501, 2**63)),
            ("B33", "leaseSeconds", (0, 1, 3601, 2**40)),
            ("B34", "queues", ([], [""], ["a" * 129], ["a b"], ["a\x1b"], "q", [1])),
            ("B34", "executor", ("one:two",)),
            ("B35", "requestId", (None, "x", "x" * 10_240, *OTHER_FORMS.values())),
        )
        for value in values
    ),
    Case("B32", f"limit {2**64}", _beyond_64_bits, (VALIDATION,)),
    Case("B35", "without a requestId", partial(_without, name="requestId"), (VALIDATION,)),
    *(
        Case("B35", f"key {what}", partial(_with_key, key=key), (KEY_INVALID,))
        for what, key in {
            "empty": b"",
            "256 characters": b"x" * 256,
            "with a tab": b"a\tb",
            "no ASCII": b"\xe4",
        }.items()
    ),
    Case("B36", "requestId", _request_id_again, (REQUEST_ID_REUSED,), writes=True),
    Case("B36", "key", _key_again, (KEY_REUSED,), writes=True),
    Case("B37", "claims at once", _claims_at_once, (SERVED,), writes=True),
    Case("B37", "creates at once", _creates_at_once, (SERVED, (201, None)), writes=True),
    Case("B38", "all ended", _after_its_leases, (SERVED,), writes=True),
    Case("B54", "the same body", _key_again_with_the_same, (SERVED,), writes=True),
    Case("B54", "another body", _key_again, (KEY_REUSED,), writes=True),
)
