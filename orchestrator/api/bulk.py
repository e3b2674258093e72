"""One act on every run of a filter, run by run."""

from __future__ import annotations

from uuid import uuid4

from flask import Response

from orchestrator.api.access import CLIENTS, allow, caller
from orchestrator.api.answer import answer
from orchestrator.api.asked_act import asked_act
from orchestrator.api.blueprint import blueprint, refuses, takes
from orchestrator.api.context import services
from orchestrator.api.parameters import IDEMPOTENCY_KEY, idempotency_key
from orchestrator.api.payload import body_hash
from orchestrator.api.repeats import BY_KEY, repeats
from orchestrator.api.run_filter import run_filter
from orchestrator.api.wire.bulk import BulkAbortion, BulkAct, BulkActed
from orchestrator.desk import acts
from orchestrator.desk.bulk import BulkAnswer, BulkWish, RunAct, act_on_all, count
from orchestrator.errors import IdempotencyKeyInvalid, IdempotencyKeyReused
from orchestrator.lifecycle import ActKind
from orchestrator.store.bulk_acts import BulkKey

bulk = blueprint("bulk", tag="Acts on many runs")

_REPEATS = (
    "With an Idempotency-Key it is done once: a repeat goes on where the first one stopped, and"
    " then gets the same counts. The key counts for a week."
)


@bulk.post("/v1/bulk/abort")
@allow(CLIENTS)
@refuses(IdempotencyKeyInvalid, IdempotencyKeyReused)
@repeats(BY_KEY, _REPEATS)
@takes(IDEMPOTENCY_KEY)
@bulk.input(BulkAbortion, arg_name="asked")
@bulk.output(BulkActed)
def abort(asked: BulkAbortion) -> Response:
    """Abort every run of a filter, the newest first. One that refuses stops none of the others.

    It works for a few seconds. When the answer says `more`, send the same request with the
    answer's `idempotencyKey`: it goes on. Runs that are created meanwhile are no part of it.
    """
    return _bulk("abort", ActKind.ABORT_RUNS, acts.abort, asked, reason=asked.reason)


@bulk.post("/v1/bulk/retry")
@allow(CLIENTS)
@refuses(IdempotencyKeyInvalid, IdempotencyKeyReused)
@repeats(BY_KEY, _REPEATS)
@takes(IDEMPOTENCY_KEY)
@bulk.input(BulkAct, arg_name="asked")
@bulk.output(BulkActed)
def retry(asked: BulkAct) -> Response:
    """Retry every failed or aborted run of a filter, the newest first.

    Every other run of the filter is refused, and stops none of the others. When the answer
    says `more`, the same request with the answer's `idempotencyKey` goes on.
    """
    return _bulk("retry", ActKind.RETRY_RUNS, acts.retry, asked, reason=None)


def _bulk(name: str, kind: ActKind, act: RunAct, asked: BulkAct, *, reason: str | None) -> Response:
    shared, who, wanted = services(), caller(), run_filter(asked.filter)
    key = idempotency_key()
    if asked.dry_run:
        return _answer(count(shared.database, wanted, who.queues), None)
    # A set has no order of its own, and the hash must be the same in every process.
    sent = asked.model_dump(mode="json", exclude={"filter": {"state"}})
    states = sorted(asked.filter.state or ())
    key = key or str(uuid4())
    wish = BulkWish(
        key=BulkKey(who.name, key),
        body_hash=body_hash("bulk", name, sent, states),
        wanted=wanted,
        queue_patterns=who.queues,
        line=asked_act(
            kind,
            key,
            queue=wanted.queue,
            filter=asked.filter.model_dump(mode="json", by_alias=True, exclude={"state"})
            | {"state": states or None},
            reason=reason,
        ),
        reason=reason,
    )
    done = act_on_all(shared.database, wish, act, stopping=shared.draining)
    return _answer(done, key)


def _answer(done: BulkAnswer, key: str | None) -> Response:
    return answer(
        {
            "matched": done.matched,
            "changed": done.changed,
            "refused": done.refused,
            "more": done.more,
            "idempotencyKey": key,
        }
    )
