"""What executors and clients ask of Dibs, each the plainest one but for what a test changes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import orjson
from uuid_utils.compat import uuid7

from orchestrator.store.claims import ClaimWish
from orchestrator.store.leases import HeldLease
from orchestrator.store.records import Dispatch
from orchestrator.store.reports import Report
from orchestrator.store.runs import NewRun

QUEUE = "default"


@dataclass(frozen=True)
class Executor:
    """Who claims: `<token's name>[:<instance>]`, in one process start."""

    name: str
    session: UUID = field(default_factory=uuid4)

    @property
    def token(self) -> str:
        return self.name.partition(":")[0]


def new_run(**changes: Any) -> NewRun:
    """A run to create, the plainest one but for these changes."""
    plain: dict[str, Any] = {
        "id": uuid7(),
        "workflow": "refund",
        "input": "{}",
        "queue": QUEUE,
        "priority": 0,
        "available_at": None,
        "max_failures": 3,
        "max_crashes": 3,
        "dedup_key": None,
        "idempotency_key": None,
        "request_hash": None,
        "traceparent": None,
        "created_by": "web",
        "request_id": None,
    }
    return NewRun(**{**plain, **changes})


def claim_wish(executor: Executor, **changes: Any) -> ClaimWish:
    """What one request wants of a queue: one run, but for these changes."""
    plain: dict[str, Any] = {
        "request_id": uuid4(),
        "token_name": executor.token,
        "executor": executor.name,
        "session": executor.session,
        "body_hash": bytes(32),
        "lease_seconds": 30,
        "limit": 1,
    }
    return ClaimWish(**{**plain, **changes})


def outcome(dispatch: Dispatch, executor: Executor, status: str, **parts: Any) -> Report:
    """A report under this dispatch; its hash tells one outcome from another."""
    told = orjson.dumps([status, sorted(parts.items())], default=str)
    return Report(
        **{
            "token_name": executor.token,
            "run_id": dispatch.run.id,
            "lease_id": dispatch.lease.id,
            "step_index": dispatch.run.step_index,
            "status": status,
            "outcome_hash": hashlib.sha256(told).digest(),
            "output": "{}" if status == "success" else None,
            **parts,
        }
    )


def held(dispatch: Dispatch, executor: Executor, **parts: Any) -> HeldLease:
    """What an executor says it holds."""
    return HeldLease(executor.token, dispatch.run.id, dispatch.lease.id, **parts)
