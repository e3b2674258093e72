"""What an entry of a client's log tells: facts about runs, and what it created them with."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from orchestrator.audit.client_log import OK, BadEntry, Entry
from orchestrator.audit.facts import Fact, Granted, LeaseRefused, Noted, Renewed, Stored
from orchestrator.audit.history import Kind
from orchestrator.lifecycle import Ending, RunState

_RUN = re.compile(r"/v1/runs/([0-9a-f-]{36})/(claim|abort|retry|resume|resolve)")
_STEP = re.compile(r"/v1/runs/([0-9a-f-]{36})/steps/([0-9]+)/start")
_ACTS: dict[str, frozenset[str]] = {
    "abort": frozenset({Kind.ABORTED, Kind.ABORT_REQUESTED}),
    "retry": frozenset({Kind.RETRIED}),
    "resume": frozenset({Kind.RESUMED}),
    "resolve": frozenset({Kind.RESOLVED}),
}


@dataclass(frozen=True, slots=True)
class Created(Fact):
    """A create was answered with this run; None: what it holds was not this client's to say."""

    workflow: str | None
    queue: str | None
    input: Any


def facts_of(entry: Entry) -> list[Fact]:
    """
    Everything that an answer of `ok` told; nothing for routes that change no run.

    Raises:
        BadEntry: Body or answer is not as the API has it.
    """
    if entry.result != OK or entry.method != "POST":
        return []
    try:
        return list(_facts(entry))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadEntry(
            f"{entry.place}: not what {entry.path} takes or answers: {error!r}"
        ) from error


def _facts(entry: Entry) -> Iterator[Fact]:
    args, answer = entry.args, entry.answer
    match entry.path:
        case "/v1/runs":
            yield _created(answer["id"], args)
        case "/v1/runs/batch":
            for asked, run in zip(args["runs"], answer["runs"], strict=True):
                yield _created(run["id"], asked)
        case "/v1/claims":
            for dispatch in answer["dispatches"]:
                yield _granted(dispatch, args)
        case "/v1/reports":
            for asked, result in zip(args["reports"], answer["results"], strict=True):
                yield from _reported(asked, result)
        case "/v1/leases/renew":
            runs = _runs_by_lease(args)
            at = datetime.fromisoformat(answer["serverTime"])
            for renewed in answer["renewed"]:
                yield Renewed(runs[renewed["leaseId"]], UUID(renewed["leaseId"]), at)
            for run_id in answer["released"]:
                yield Noted(UUID(run_id), frozenset({Ending.ORPHANED}))
        case "/v1/leases/release":
            lost = set(answer["lost"])
            for lease_id, run_id in _runs_by_lease(args).items():
                # Of two leases of one run, one is lost: `released` does not say which.
                if lease_id not in lost:
                    yield Noted(run_id, frozenset({Ending.RELEASED}), UUID(lease_id))
        case path if found := _STEP.fullmatch(path):
            begun = frozenset({Kind.STEP_STARTED})
            yield Noted(UUID(found[1]), begun, UUID(args["leaseId"]), int(found[2]))
        case path if found := _RUN.fullmatch(path):
            if found[2] == "claim":
                yield _granted(answer, args)
            else:
                yield Noted(UUID(found[1]), _ACTS[found[2]], as_=(args or {}).get("as"))


def _created(run_id: str, asked: dict[str, Any]) -> Created:
    if asked.get("onConflict") == "return":
        # The run may be another one's, of the same dedupKey.
        return Created(UUID(run_id), None, None, None)
    return Created(
        UUID(run_id), asked["workflow"], asked.get("queue", "default"), asked.get("input", {})
    )


def _granted(dispatch: dict[str, Any], asked: dict[str, Any]) -> Granted:
    lease = dispatch["lease"]
    return Granted(
        UUID(dispatch["run"]["id"]),
        UUID(lease["id"]),
        lease["fence"],
        asked["requestId"],
        asked.get("executor"),
    )


def _reported(asked: dict[str, Any], result: dict[str, Any]) -> Iterator[Fact]:
    run_id, lease_id = UUID(asked["runId"]), UUID(asked["leaseId"])
    told = (run_id, lease_id, asked["stepIndex"], outcome_hash(asked["outcome"]))
    if result["status"] != "refused":
        state = RunState.STARTED if result["status"] == "continue" else result["status"]
        yield Stored(*told, state)
    elif result["problem"]["code"] == "lease-lost":
        yield LeaseRefused(*told)


def _runs_by_lease(asked: dict[str, Any]) -> dict[str, UUID]:
    return {named["leaseId"]: UUID(named["runId"]) for named in asked["leases"]}


def outcome_hash(outcome: dict[str, Any]) -> str:
    """
    The hash that the ledger keeps of an outcome: SHA-256 of `["outcome", outcome]` as
    compact JSON with sorted names, times in UTC.
    """
    if "availableAt" in outcome:
        at = datetime.fromisoformat(outcome["availableAt"]).astimezone(UTC)
        outcome = {**outcome, "availableAt": at.isoformat().replace("+00:00", "Z")}
    text = json.dumps(
        ("outcome", outcome), ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()
