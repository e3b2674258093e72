"""Leases: keep them, give them back, mark a mutating step begun."""

from __future__ import annotations

from flask import Response

from orchestrator.api.access import EXECUTORS, allow, caller
from orchestrator.api.answer import answer
from orchestrator.api.blueprint import blueprint, refuses
from orchestrator.api.context import services
from orchestrator.api.direct import direct
from orchestrator.api.parameters import full_name, request_id, run_id_of, step_index_of
from orchestrator.api.payload import json_text
from orchestrator.api.repeats import NATURALLY, repeats
from orchestrator.api.traced import tell_span, traced
from orchestrator.api.wire.leases import (
    Release,
    Released,
    Renewal,
    Renewed,
    Started,
    StepStart,
)
from orchestrator.errors import LeaseLost, NotFound, RunNotFound
from orchestrator.store.leases import HeldLease
from orchestrator.store.orphans import Reconciliation

leases = blueprint("leases")


@leases.post("/v1/leases/renew")
@direct
@allow(EXECUTORS, budgeted=False)
@repeats(
    NATURALLY,
    "A second copy moves the expiry once more; what it frees depends on `asOf` alone, however"
    " late it comes.",
)
@leases.input(Renewal, arg_name="asked")
@leases.output(Renewed)
def renew(asked: Renewal) -> Response:
    """Renew every lease named, and free the orphans of lost claim replies."""
    services().signs.note(full_name(asked.executor), asked.session)
    token_name, asked_as = caller().name, request_id()
    held = [
        HeldLease(
            token_name=token_name,
            run_id=lease.run_id,
            lease_id=lease.lease_id,
            progress=None if lease.progress is None else json_text(lease.progress),
            lease_seconds=asked.lease_seconds,
            request_id=asked_as,
        )
        for lease in asked.leases
    ]
    reconciliation = None
    if asked.as_of is not None:
        reconciliation = Reconciliation(
            token_name=token_name,
            session=asked.session,
            claiming=tuple(asked.claiming),
            as_of=asked.as_of,
            request_id=asked_as,
        )
    told = services().lease_desk.renew(held, reconciliation)
    return answer(
        {
            "renewed": [
                {"leaseId": renewal.lease_id, "expiresAt": renewal.expires_at}
                for renewal in told.renewed
            ],
            "lost": told.lost,
            "abort": [renewal.lease_id for renewal in told.renewed if renewal.abort],
            "released": told.released,
            "orphansKept": told.orphans_kept,
            "serverTime": told.server_time,
        }
    )


@leases.post("/v1/leases/release")
@direct
@allow(EXECUTORS, budgeted=False)
@repeats(NATURALLY, "A lease that is given back already is in `lost`, and nothing else happens.")
@leases.input(Release, arg_name="asked")
@leases.output(Released)
def release(asked: Release) -> Response:
    """Give leases back unfinished; one that is gone is in `lost`, and that is no error."""
    token_name, asked_as = caller().name, request_id()
    held = [
        HeldLease(
            token_name=token_name,
            run_id=lease.run_id,
            lease_id=lease.lease_id,
            request_id=asked_as,
        )
        for lease in asked.leases
    ]
    told = services().lease_desk.release(held, reason=asked.reason)
    return answer({"released": told.released, "lost": told.lost})


@leases.post("/v1/runs/<run_id>/steps/<index>/start")
@allow(EXECUTORS)
@refuses(RunNotFound, NotFound, LeaseLost)
@repeats(NATURALLY, "Under the same lease a step begins once; every copy is answered alike.")
@leases.input(StepStart, arg_name="asked")
@leases.output(Started)
@traced()
def start_step(run_id: str, index: str, asked: StepStart) -> Response:
    """Write ahead that a mutating step begins. Repeatable under the same lease."""
    held = HeldLease(
        token_name=caller().name,
        run_id=run_id_of(run_id),
        lease_id=asked.lease_id,
        request_id=request_id(),
    )
    tell_span(run_id=run_id)
    services().lease_desk.start_step(held, step_index=step_index_of(index))
    return answer({"started": True})
