"""The gates that a run's own state is: over, held, not due, waiting for input or for a word."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson

from orchestrator.desk.explanation import GateSeen
from orchestrator.desk.run_facts import RunFacts
from orchestrator.desk.wording import counted, quoted, roughly, utc
from orchestrator.lifecycle import (
    MAX_RELEASES_IN_A_ROW,
    Ending,
    Gate,
    RunState,
    WaitingReason,
)
from orchestrator.store.records import Json, text_of

# An executor beats every third of its lease, and never more than this apart.
_LONGEST_BEAT_SECONDS = 10
# A keeper that has not ticked for so long takes nothing from anyone.
_AWAKE_SECONDS = 5


def over(facts: RunFacts) -> GateSeen:
    """It has ended: it executes no more."""
    run = facts.run
    text = f"It {_ENDED[RunState(run.run_state)]} at {utc(run.finished_at)}."
    if run.run_state == RunState.FAILED and run.error is not None:
        error = _members(run.error)
        text += f" {error.get('code')}: {quoted(str(error.get('message')))}"
    return GateSeen(Gate.OVER, False, text)


def held(facts: RunFacts) -> GateSeen:
    """Somebody holds it; shut when he has lost his time, and it was not taken from him yet."""
    run, now = facts.run, facts.around.now
    expires_at = run.lease_expires_at or now
    if expires_at < now:
        text = f"{run.locked_by} held it until {utc(expires_at)} and did not renew. {_taken(facts)}"
        return GateSeen(Gate.HELD, False, text)
    confirmed = (
        "and executes it"
        if run.run_state == RunState.STARTED
        else "and has not confirmed yet that it executes it"
    )
    text = (
        f"{run.locked_by} has held it since {utc(run.locked_at)} {confirmed};"
        f" until {utc(expires_at)} unless it renews."
    )
    if run.abort_requested_at is not None:
        text += (
            f" An abort was asked for at {utc(run.abort_requested_at)}: its holder is told when it"
            " renews, and has that time to end it."
        )
    elif (silent_seconds := _silent_seconds(facts, expires_at)) is not None:
        text += f" Its heartbeat is late: the last one came {roughly(silent_seconds)} ago."
    return GateSeen(Gate.HELD, True, text)


def due_time(facts: RunFacts) -> GateSeen:
    """Its time has not come."""
    run, around = facts.run, facts.around
    if run.run_state != RunState.SCHEDULED:
        return GateSeen(Gate.DUE_TIME, True, f"It has been due since {utc(run.available_at)}.")
    if run.available_at is not None and run.available_at <= around.now:
        comes = _asleep(facts) or "the keeper makes it pending within a second"
        text = f"It has been due since {utc(run.available_at)}; {comes}."
    else:
        text = f"It is due at {utc(run.available_at)}: {_why_scheduled(facts)}"
    return GateSeen(Gate.DUE_TIME, False, text)


def waiting(facts: RunFacts) -> GateSeen | None:
    """It waits: for input, or for somebody to say what has happened. None when it does not."""
    run, around = facts.run, facts.around
    if run.run_state != RunState.WAITING:
        return None
    if run.waiting_reason == WaitingReason.OUTCOME_UNKNOWN:
        text = (
            f"Since {utc(around.event_at)} it is not known whether its mutating step"
            f" {run.step_name} has happened; only resolve moves it."
        )
        if run.abort_requested_at is not None:
            text += f" An abort was asked for at {utc(run.abort_requested_at)}."
        return GateSeen(Gate.OUTCOME_UNKNOWN, False, text)
    text = f"Its step {run.step_name} has waited for input since {utc(around.event_at)}"
    if run.available_at is None:
        text += ", and waits for as long as it takes."
    else:
        text += f", until {utc(run.available_at)}; then {_after_waiting(facts)}."
    return GateSeen(Gate.NEEDS_INPUT, False, text)


_ENDED = {
    RunState.FINISHED: "finished",
    RunState.FAILED: "failed",
    RunState.ABORTED: "was aborted",
}


def _taken(facts: RunFacts) -> str:
    """When the keeper takes an expired lease away."""
    around = facts.around
    amnesty_ends = None
    if around.amnesty_since is not None and around.lease_seconds is not None:
        amnesty_ends = around.amnesty_since + timedelta(seconds=around.lease_seconds)
    if amnesty_ends is not None and amnesty_ends > around.now:
        return (
            f"There was an outage until {utc(around.amnesty_since)}, so nobody loses it before"
            f" {utc(amnesty_ends)}."
        )
    if (asleep := _asleep(facts)) is not None:
        return f"It stays so while {asleep}."
    return "The keeper takes it back within a second."


def _asleep(facts: RunFacts) -> str | None:
    """That no keeper does what the clock brings; None when one does."""
    last_tick_at = facts.around.last_tick_at
    if last_tick_at is None:
        return "no keeper has ticked yet"
    if facts.around.now - last_tick_at > timedelta(seconds=_AWAKE_SECONDS):
        return f"no keeper is awake: the last one ticked at {utc(last_tick_at)}"
    return None


def _silent_seconds(facts: RunFacts, expires_at: datetime) -> float | None:
    """For how long a holder has not renewed, if two of its heartbeats are missing."""
    lease_seconds = facts.around.lease_seconds or 0
    silent_seconds = (facts.around.now - expires_at).total_seconds() + lease_seconds
    is_late = silent_seconds > 2 * min(lease_seconds / 3, _LONGEST_BEAT_SECONDS)
    return silent_seconds if is_late else None


def _why_scheduled(facts: RunFacts) -> str:
    run, around = facts.run, facts.around
    said = _members(around.event_detail)
    if around.event == Ending.RELEASED:
        return (
            f"it was given back {counted(around.releases, 'time')} in a row, at last for the reason"
            f" {quoted(str(said.get('reason')))}; time {MAX_RELEASES_IN_A_ROW} fails it."
        )
    if said.get("outcome") == "error":
        message = _members(run.error).get("message") if run.error is not None else None
        return (
            f"it waits after failure {run.failures} of {around.max_failures}"
            f" ({quoted(str(message))})."
        )
    if said.get("outcome") == "later":
        return f"its step {run.step_name} asked to be executed again then."
    return f"it was created for that time by {run.created_by}."


def _after_waiting(facts: RunFacts) -> str:
    waiting_for = facts.run.waiting_for
    on_timeout = None if waiting_for is None else _members(waiting_for).get("onTimeout")
    if isinstance(on_timeout, dict) and "next" in on_timeout:
        return f"it goes on with step {on_timeout['next']}"
    return "it fails"


def _members(value: Json) -> dict[str, Any]:
    members = orjson.loads(text_of(value))
    return members if isinstance(members, dict) else {}
