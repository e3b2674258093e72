"""Records as the wire has them. Hot answers are made here, without a model in between."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from orchestrator.api.answer import rfc3339, uuid_text
from orchestrator.desk.census import QueueCensus
from orchestrator.desk.explanation import Explanation
from orchestrator.desk.report_desk import ReportAnswer
from orchestrator.desk.snapshot_watch import OldSnapshot
from orchestrator.lifecycle import OVER, RunState
from orchestrator.store.events import Event
from orchestrator.store.executors import Executor
from orchestrator.store.operator_acts import NotedAct
from orchestrator.store.queues import QueueSettings
from orchestrator.store.records import Dispatch, Run
from orchestrator.store.steps import Step

Body = dict[str, Any]

_HOLDERS = {
    "session": "session",
    "slot": "replication slot",
    "prepared": "prepared transaction",
}


def run_body(run: Run) -> Body:
    """A run as everyone who may see it sees it: no lease id."""
    return {
        "id": run.id,
        "workflow": run.workflow,
        "workflowVersion": run.workflow_version,
        "queue": run.queue,
        "stepQueue": run.step_queue,
        "runState": run.run_state,
        "priority": run.priority,
        "availableAt": run.available_at,
        "stepIndex": run.step_index,
        "stepName": run.step_name,
        "input": run.input,
        "output": run.output,
        "error": run.error,
        "progress": run.progress,
        "attempt": run.attempt,
        "failures": run.failures,
        "crashes": run.crashes,
        "maxFailures": run.max_failures,
        "maxCrashes": run.max_crashes,
        "fence": run.fence,
        "lockedBy": run.locked_by,
        "lockedAt": run.locked_at,
        "leaseExpiresAt": run.lease_expires_at,
        "mutatingSince": run.mutating_since,
        "waitingFor": run.waiting_for,
        "dedupKey": run.dedup_key,
        "concurrencyKey": run.concurrency_key,
        "traceparent": run.traceparent,
        "abortRequestedAt": run.abort_requested_at,
        "createdBy": run.created_by,
        "createdAt": run.created_at,
        "startedAt": run.started_at,
        "finishedAt": run.finished_at,
    }


def explanation_body(explanation: Explanation) -> Body:
    """Why a run does not execute now."""
    return {
        "runState": explanation.run_state,
        "executing": explanation.is_executing,
        "reason": explanation.reason,
        "text": explanation.text,
        "gates": [
            {"gate": each.gate, "open": each.is_open, "text": each.text}
            for each in explanation.gates
        ],
    }


def dispatch_body(dispatch: Dispatch) -> Body:
    """A dispatch, for its holder: the only place where a lease's id is shown."""
    run, lease = dispatch.run, dispatch.lease
    resumed = dispatch.resume_input is not None
    told = run_body(run)
    told["id"] = run_id = uuid_text(run.id)
    told["leaseExpiresAt"] = expires_at = rfc3339(lease.expires_at)
    return {
        "run": told,
        "step": {
            "index": run.step_index,
            "name": run.step_name,
            "type": run.step_type,
            "params": {} if dispatch.params is None else dispatch.params,
            "input": dispatch.resume_input if resumed else run.input,
            "outputs": {} if dispatch.outputs is None else dispatch.outputs,
            "resumed": resumed,
            "mutating": dispatch.mutating,
            "timeoutSeconds": dispatch.timeout_seconds,
            "idempotencyKey": f"{run_id}:{run.step_index}",
        },
        "lease": {
            "id": lease.id,
            "fence": lease.fence,
            "expiresAt": expires_at,
            "seconds": lease.seconds,
        },
    }


def result_body(result: ReportAnswer, problem: Body | None) -> Body:
    """What became of one report of a batch."""
    return {
        "runId": result.run_id,
        "status": result.status,
        "next": None if result.next is None else dispatch_body(result.next),
        "replayed": result.replayed,
        "problem": problem,
    }


def event_body(event: Event) -> Body:
    """A line of a run's ledger."""
    return {
        "seq": event.seq,
        "kind": event.kind,
        "at": event.at,
        "fromState": event.from_state,
        "toState": event.to_state,
        "fence": event.fence,
        "executor": event.executor,
        "actor": event.actor,
        "requestId": event.request_id,
        "detail": event.detail,
    }


def step_body(step: Step) -> Body:
    """A step of a run, as executed."""
    return {
        "stepIndex": step.step_index,
        "name": step.name,
        "type": step.type,
        "state": step.state,
        "output": step.output,
        "error": step.error,
        "startedAt": step.started_at,
        "finishedAt": step.finished_at,
    }


def executor_body(executor: Executor) -> Body:
    """A session of an executor."""
    return {
        "name": executor.full_name,
        "session": executor.session,
        "version": executor.version,
        "slots": executor.slots,
        "inFlight": executor.in_flight,
        "queues": executor.queues,
        "stepTypes": executor.step_types,
        "labels": executor.labels,
        "url": executor.url,
        "state": executor.state,
        "reason": executor.reason,
        "registeredAt": executor.registered_at,
        "seenAt": executor.seen_at,
    }


def queue_body(queue: QueueCensus, counted_at: datetime) -> Body:
    """
    A queue: what was set of it now, and what was in it when it was last counted.

    Args:
        counted_at: When that was.
    """
    settings = queue.settings or QueueSettings(queue.name)
    depth = {state.value: queue.count(state) for state in RunState if state not in OVER}
    return {
        "name": queue.name,
        "paused": settings.paused,
        "maxConcurrency": settings.max_concurrency,
        "ratePerSecond": settings.rate_per_second,
        "maxConcurrencyPerKey": settings.max_concurrency_per_key,
        "depth": {state: count.number for state, count in depth.items()},
        "capped": [state for state, count in depth.items() if count.is_capped],
        "gated": queue.gated.number,
        "leasesExpired": queue.leases_expired.number,
        "oldestPendingSeconds": queue.oldest_pending_seconds,
        "executors": queue.fleet.executors,
        "wantedExecutors": queue.wanted_executors,
        "slots": queue.fleet.slots,
        "slotsBusy": queue.fleet.slots_busy,
        "countedAt": counted_at,
    }


def operator_act_body(act: NotedAct) -> Body:
    """A line of the ledger of operators' acts."""
    return {
        "id": act.id,
        "at": act.at,
        "actor": act.actor,
        "keyId": act.key_id,
        "requestId": act.request_id,
        "kind": act.kind,
        "subject": act.subject,
        "queue": act.queue,
        "detail": act.detail,
    }


def snapshot_holder_body(old: OldSnapshot, *, named: bool) -> Body:
    """Somebody who has held an old snapshot for long; strangers are not told who."""
    kind, seconds = old.holder.kind, int(old.seconds)
    if not named:
        text = (
            f"A {_HOLDERS[kind]} has kept dead rows from being removed for {seconds} s at least."
            " A viewer's token shows which."
        )
        nothing = dict.fromkeys(("name", "pid", "since", "transactions"))
        return {"kind": kind, **nothing, "seconds": seconds, "text": text}
    return {
        "kind": kind,
        "name": old.holder.name,
        "pid": old.holder.pid,
        "since": old.holder.since,
        "seconds": seconds,
        "transactions": old.holder.transactions,
        "text": old.text,
    }
