"""Leases that are not the caller's, and acts on runs that are held or over: B47 to B53."""

from functools import partial
from typing import Final
from uuid import uuid4

import orjson

from tests.acceptance.client import Json, outcome_of
from tests.acceptance.waiting import eventually
from tests.contract.raw_http import RawAnswer
from tests.hostile.case import LEASE_LOST, SERVED, TOO_LARGE, VALIDATION, Case, Told
from tests.hostile.place import EXECUTOR, STRANGER, Place, a_queue, run_claim
from tests.hostile.reports import SUCCESS
from tests.hostile.run_ids import NOBODYS

RUN_HELD: Final[Told] = (409, "run-held")
RUN_OVER: Final[Told] = (410, "run-over")
SHORTEST_LEASE_SECONDS: Final = 2


def lease_of(dispatch: Json) -> Json:
    """How a request names the lease of a dispatch."""
    return {"leaseId": dispatch["lease"]["id"], "runId": dispatch["run"]["id"]}


def _renew(place: Place, leases: list[Json], by: str = EXECUTOR) -> RawAnswer:
    body = {"session": str(uuid4()), "leases": leases}
    return place.send("POST", "/v1/leases/renew", body, by=by)


def _renew_nobodys(place: Place, count: int) -> RawAnswer:
    answer = _renew(place, [{"leaseId": NOBODYS, "runId": NOBODYS}] * count)
    if answer.status == 200:
        assert orjson.loads(answer.body)["lost"] == [NOBODYS] * min(count, 1)
    return answer


def _renew_many(place: Place, count: int) -> RawAnswer:
    leases = [{"leaseId": str(uuid4()), "runId": str(uuid4())} for _ in range(count)]
    return _renew(place, leases)


def _renew_mixed(place: Place) -> RawAnswer:
    mine, theirs = place.held(a_queue()), _held_by_a_stranger(place)
    before = place.run(theirs["run"]["id"])
    return _renewed_only(place, mine, [theirs, mine | {"lease": {"id": NOBODYS}}], before)


def _renew_mixed_with_expired(place: Place) -> RawAnswer:
    expired = place.held(a_queue(), leaseSeconds=SHORTEST_LEASE_SECONDS)
    mine, theirs = place.held(a_queue()), _held_by_a_stranger(place)
    before = place.run(theirs["run"]["id"])
    eventually(
        lambda: place.run(expired["run"]["id"])["runState"] == "pending",
        what="an expired lease is taken back",
    )
    return _renewed_only(place, mine, [theirs, expired], before)


def _renewed_only(place: Place, mine: Json, others: list[Json], theirs: Json) -> RawAnswer:
    answer = _renew(place, [lease_of(one) for one in (mine, *others)])
    told = orjson.loads(answer.body)
    assert [one["leaseId"] for one in told["renewed"]] == [mine["lease"]["id"]]
    assert set(told["lost"]) == {one["lease"]["id"] for one in others}
    assert place.run(theirs["id"]) == theirs
    return answer


def _held_by_a_stranger(place: Place) -> Json:
    queue = a_queue()
    place.create(queue)
    return place.claim(queue, by=STRANGER)


def _claim(place: Place, run_id: str, by: str = EXECUTOR) -> RawAnswer:
    answer = place.send("POST", f"/v1/runs/{run_id}/claim", run_claim(), by=by)
    if answer.status == 409:
        assert 1 <= int(answer.headers["retry-after"]) <= 30
    return answer


def _claim_loading(place: Place, by: str) -> RawAnswer:
    dispatch = place.held(a_queue())
    answer = _claim(place, dispatch["run"]["id"], by)
    assert dispatch["lease"]["id"].encode() not in answer.body
    return answer


def _claim_started(place: Place, by: str) -> RawAnswer:
    dispatch = place.held(a_queue())
    run_id = dispatch["run"]["id"]
    step = {"leaseId": dispatch["lease"]["id"], "session": str(uuid4())}
    place.ask("POST", f"/v1/runs/{run_id}/steps/0/start", step, by=EXECUTOR)
    assert place.run(run_id)["runState"] == "started"
    answer = _claim(place, run_id, by)
    assert dispatch["lease"]["id"].encode() not in answer.body
    return answer


def _claim_over(place: Place) -> RawAnswer:
    return _claim(place, _finished(place))


def _finished(place: Place) -> str:
    dispatch = place.held(a_queue())
    place.report(outcome_of(dispatch, SUCCESS))
    run_id: str = dispatch["run"]["id"]
    return run_id


def _release_gone(place: Place) -> RawAnswer:
    dispatch = place.held(a_queue())
    place.report(outcome_of(dispatch, SUCCESS))
    body = {"session": str(uuid4()), "leases": [lease_of(dispatch)], "reason": "draining"}
    answer = place.send("POST", "/v1/leases/release", body, by=EXECUTOR)
    assert orjson.loads(answer.body) == {"released": [], "lost": [dispatch["lease"]["id"]]}
    return answer


def _release_of_a_stranger(place: Place) -> RawAnswer:
    dispatch = place.held(a_queue())
    body = {"session": str(uuid4()), "leases": [lease_of(dispatch)], "reason": "draining"}
    answer = place.send("POST", "/v1/leases/release", body, by=STRANGER)
    assert orjson.loads(answer.body) == {"released": [], "lost": [dispatch["lease"]["id"]]}
    assert place.run(dispatch["run"]["id"])["runState"] == "loading"
    return answer


def _start_of_a_stranger(place: Place) -> RawAnswer:
    dispatch = place.held(a_queue())
    body = {"leaseId": dispatch["lease"]["id"], "session": str(uuid4())}
    path = f"/v1/runs/{dispatch['run']['id']}/steps/0/start"
    return place.send("POST", path, body, by=STRANGER)


def _abort_over(place: Place) -> RawAnswer:
    return place.send("POST", f"/v1/runs/{_finished(place)}/abort", {})


def _abort_twice(place: Place) -> RawAnswer:
    run_id = place.create(a_queue())
    first, again = (
        place.send("POST", f"/v1/runs/{run_id}/abort", {}, headers={"Idempotency-Key": run_id})
        for _ in range(2)
    )
    assert (first.status, again.body) == (200, first.body)
    events = place.ask("GET", f"/v1/runs/{run_id}/events")["items"]
    assert [event["kind"] for event in events] == ["created", "aborted"]
    return again


CASES: Final = (
    Case("B47", "10,000 leases", partial(_renew_many, count=10_000), (TOO_LARGE, VALIDATION)),
    Case("B47", "501 leases", partial(_renew_many, count=501), (VALIDATION,)),
    Case("B47", "one twice", partial(_renew_nobodys, count=2), (SERVED,)),
    Case("B47", "none", partial(_renew_nobodys, count=0), (SERVED,)),
    Case("B48", "own, another's, nobody's", _renew_mixed, (SERVED,), writes=True),
    Case(
        "B48",
        "own, another's, expired",
        _renew_mixed_with_expired,
        (SERVED,),
        writes=True,
        is_slow=True,
    ),
    Case("B49", "loading", partial(_claim_loading, by=STRANGER), (RUN_HELD,), writes=True),
    Case("B49", "started", partial(_claim_started, by=STRANGER), (RUN_HELD,), writes=True),
    Case("B50", "finished", _claim_over, (RUN_OVER,), writes=True),
    Case("B51", "loading", partial(_claim_loading, by=EXECUTOR), (RUN_HELD,), writes=True),
    Case("B51", "started", partial(_claim_started, by=EXECUTOR), (RUN_HELD,), writes=True),
    Case("B52", "after its report", _release_gone, (SERVED,), writes=True),
    Case("B52", "of somebody else", _release_of_a_stranger, (SERVED,), writes=True),
    Case("B41", "step start", _start_of_a_stranger, (LEASE_LOST,), writes=True),
    Case("B53", "over", _abort_over, (RUN_OVER,), writes=True),
    Case("B53", "twice with its key", _abort_twice, (SERVED,), writes=True),
)
