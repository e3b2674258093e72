"""Claims: by poll, and of one run by its id."""

from __future__ import annotations

import time

from flask import Response

from orchestrator.api.access import (
    CLIENTS,
    EXECUTORS,
    ON_BEHALF_OF,
    allow,
    caller,
    on_behalf_of,
    require_role,
)
from orchestrator.api.answer import answer
from orchestrator.api.blueprint import blueprint, refuses, takes
from orchestrator.api.bodies import dispatch_body
from orchestrator.api.context import services
from orchestrator.api.direct import direct
from orchestrator.api.parameters import full_name, run_id_of
from orchestrator.api.payload import body_hash, json_text
from orchestrator.api.queue_access import common_patterns, require_queues
from orchestrator.api.repeats import BY_REQUEST_ID, repeats
from orchestrator.api.traced import link_span, tell_span, trace_claim, traced
from orchestrator.api.wire.claims import Claimed, ClaimRequest, RunClaimed, RunClaimRequest
from orchestrator.desk.run_claims import claim_run
from orchestrator.desk.wishes import Wish
from orchestrator.errors import (
    LeaseLost,
    RateLimited,
    RequestIdReused,
    RunHeld,
    RunNotClaimable,
    RunNotFound,
    RunOver,
)
from orchestrator.store.claims import RunWish

claims = blueprint("claims")


@claims.post("/v1/claims")
@direct
@allow(EXECUTORS)
@refuses(RequestIdReused, RateLimited)
@repeats(
    BY_REQUEST_ID,
    "The same `requestId` and body again get the same runs under the same leases, as far as "
    "they still live, and never more than the first one got. Kept for a day.",
)
@claims.input(ClaimRequest, arg_name="asked")
@claims.output(Claimed)
def claim(asked: ClaimRequest) -> Response:
    """Lease up to `limit` runs, or wait for some to come.

    The same requestId and body get the same runs again, as far as their leases live.
    """
    began_at_ns = time.time_ns()
    who = caller()
    require_queues(who, asked.queues)
    got = services().claim_desk.claim(
        Wish(
            token_name=who.name,
            key_id=who.key_id,
            executor=full_name(asked.executor),
            session=asked.session,
            request_id=asked.request_id,
            body_hash=body_hash("claim", asked.model_dump(mode="json")),
            queues=tuple(dict.fromkeys(asked.queues)),
            limit=asked.limit,
            lease_seconds=asked.lease_seconds,
            wait_seconds=asked.wait_seconds,
        )
    )
    trace_claim(began_at_ns, got.dispatches)
    out = got.out_of_service
    return answer(
        {
            "dispatches": [dispatch_body(dispatch) for dispatch in got.dispatches],
            "nextPollAfterMs": got.next_poll_after_ms,
            "replayed": got.replayed,
            "outOfService": out and {"state": out.state, "reason": out.reason},
        }
    )


@claims.post("/v1/runs/<run_id>/claim")
@allow(EXECUTORS)
@refuses(RunNotFound, RunHeld, RunNotClaimable, RunOver, LeaseLost, RequestIdReused)
@repeats(
    BY_REQUEST_ID,
    "The same `requestId` and body again get the same lease, as far as it still lives. Kept "
    "for a day.",
)
@takes(ON_BEHALF_OF)
@claims.input(RunClaimRequest, arg_name="asked")
@claims.output(RunClaimed)
@traced()
def claim_by_id(run_id: str, asked: RunClaimRequest) -> Response:
    """Lease this run, with the input that it waits for.

    With Dibs-On-Behalf-Of the run must also be of the queues of that token.
    """
    patterns = caller().queues
    client = on_behalf_of()
    if client:
        require_role(client, CLIENTS)
        patterns = common_patterns(patterns, client.queues)
    wish = RunWish(
        request_id=asked.request_id,
        token_name=caller().name,
        executor=full_name(asked.executor),
        session=asked.session,
        lease_seconds=asked.lease_seconds,
        run_id=run_id_of(run_id),
        input=json_text(asked.input) if asked.has_input else None,
    )
    sent = asked.model_dump(mode="json", exclude_unset=True)
    dispatch, replayed = claim_run(
        services().database,
        wish,
        body_hash=body_hash("claim-by-id", run_id, sent),
        queue_patterns=patterns,
        step_queue_patterns=caller().queues,
        value=asked.input,
        on_behalf_of=client.name if client else None,
    )
    tell_span(run_id=run_id, executor=wish.executor, fence=dispatch.lease.fence)
    link_span([dispatch.run.traceparent])
    return answer(dispatch_body(dispatch) | {"replayed": replayed})
