"""The gates of the queue that a run's step is claimed from: pause, limits, executors, order.

A caller whose token is not for that queue is told which of them are shut, and no more.
"""

from __future__ import annotations

from orchestrator.desk.explanation import GateSeen
from orchestrator.desk.run_facts import RunFacts, StepQueue
from orchestrator.desk.wording import counted, listed, roughly, utc
from orchestrator.lifecycle import Gate
from orchestrator.store.explain import COUNTED_AHEAD, Group
from orchestrator.store.gates import Key, Standing
from orchestrator.store.limits import COUNTS_FOR_SECONDS
from orchestrator.store.serving import SERVING_SECONDS

_WHY_NOT_SERVING = {
    "draining": "draining",
    "quarantined": "in quarantine",
    "other-types": "without a handler for the step's type",
    "silent": "registered without a word on which queues it polls",
}


def paused(facts: RunFacts, queue: StepQueue) -> GateSeen:
    """Nothing is claimed from it while an operator has paused it."""
    name, around = facts.run.step_queue, facts.around
    if not around.is_paused:
        return GateSeen(Gate.QUEUE_PAUSED, True, f"Queue {name} is not paused.")
    if not queue.is_covered:
        return GateSeen(Gate.QUEUE_PAUSED, False, f"Queue {name} is paused.")
    if around.paused_by is not None:
        who = f"{around.paused_by} paused it at {utc(around.paused_at)}"
    else:
        who = f"{around.queue_changed_by} last changed it at {utc(around.queue_changed_at)}"
    return GateSeen(Gate.QUEUE_PAUSED, False, f"Queue {name} is paused: {who}.")


def limit(facts: RunFacts, queue: StepQueue) -> GateSeen:
    """All that the queue's limits, or the run's concurrencyKey, allow is used up."""
    told = [_leases(facts, queue), _rate(facts, queue), _key(facts)]
    said = [each for each in told if each is not None]
    shut = [text for is_open, text in said if not is_open]
    text = " ".join(dict.fromkeys(shut or [text for _, text in said]))
    return GateSeen(Gate.LIMIT, not shut, text or f"Queue {facts.run.step_queue} has no limits.")


def not_served(facts: RunFacts, queue: StepQueue) -> GateSeen:
    """Nobody who is there polls it and has a handler for the step's type."""
    run, serving = facts.run, serving_group(queue)
    if not queue.is_covered:
        return _untold(Gate.NOT_SERVED, facts, is_open=serving is not None)
    if serving is not None:
        text = (
            f"{counted(serving.executors, 'executor serves', 'executors serve')} queue"
            f" {run.step_queue} and step type {run.step_type}"
            f"{listed(serving.names, of=serving.executors)}."
        )
        return GateSeen(Gate.NOT_SERVED, True, text)
    text = (
        f"No active executor that is registered and was seen in the last {SERVING_SECONDS} s"
        f" serves queue {run.step_queue} and step type {run.step_type}"
    )
    others = "; ".join(_why_not(group) for group in queue.groups)
    return GateSeen(Gate.NOT_SERVED, False, f"{text}: {others}." if others else f"{text}.")


def slots_busy(facts: RunFacts, queue: StepQueue, serving: Group) -> GateSeen:
    """Whoever serves it executes as many runs as he can."""
    is_open = serving.free > 0 or serving.unsaid > 0
    if not queue.is_covered:
        return _untold(Gate.SLOTS_BUSY, facts, is_open=is_open)
    whose = f"the {counted(serving.executors, 'executor that serves', 'executors that serve')} it"
    if serving.unsaid:
        text = f"Of {whose}, {counted(serving.unsaid, 'does', 'do')} not say how many slots it has."
    elif is_open:
        text = f"{serving.free:,} of the {serving.slots:,} slots of {whose} are free."
    else:
        names = listed(serving.names, of=serving.executors)
        text = f"All slots of {whose}{names} are taken: {serving.slots:,} of {serving.slots:,}."
    return GateSeen(Gate.SLOTS_BUSY, is_open, text)


def position(facts: RunFacts, queue: StepQueue, ahead: int) -> GateSeen:
    """Others are claimed before it."""
    run = facts.run
    if not queue.is_covered:
        return _untold(Gate.POSITION, facts, is_open=not ahead)
    if not ahead:
        return GateSeen(Gate.POSITION, True, f"No run of queue {run.step_queue} is before it.")
    queued = f"of queue {run.step_queue}"
    are = _at_least(ahead, f"run {queued} is", f"runs {queued} are")
    text = f"{are} before it. {_estimate(queue, ahead)}"
    return GateSeen(Gate.POSITION, False, text)


def serving_group(queue: StepQueue) -> Group | None:
    """Those who are there and would execute the run's step."""
    return next((group for group in queue.groups if group.standing == "serving"), None)


def full_key(key: Key, standing: Standing) -> str:
    """That all places of a key are taken, and by which runs."""
    holders = listed([str(holder) for holder in standing.holders], of=standing.taken)
    return (
        f"of the runs with concurrencyKey {key[1]!r} in queue {key[0]} at most {standing.allowed}"
        f" may be claimed or held at once, and now {standing.taken} are{holders}."
    )


def _leases(facts: RunFacts, queue: StepQueue) -> tuple[bool, str] | None:
    if queue.limits is None or queue.limits.max_concurrency is None or queue.leased is None:
        return None
    leases, most = queue.leased.leases, queue.limits.max_concurrency
    if not queue.is_covered:
        return leases < most, _untold_text(facts)
    by = [f"{each.executor}: {each.leases:,}" for each in queue.leased.holders[:3]]
    told = sum(each.leases for each in queue.leased.holders[:3])
    rest = [f"others: {leases - told:,}"] if by and leases > told else []
    held = f" ({', '.join(by + rest)})" if by else ""
    return leases < most, (
        f"Queue {facts.run.step_queue} allows {counted(most, 'lease')} at once, and {leases:,}"
        f" {'is' if leases == 1 else 'are'} held{held}."
    )


def _rate(facts: RunFacts, queue: StepQueue) -> tuple[bool, str] | None:
    if queue.limits is None or queue.limits.rate_per_second is None:
        return None
    granted, rate = queue.limits.granted, queue.limits.rate_per_second
    if not queue.is_covered:
        return granted < rate, _untold_text(facts)
    text = (
        f"Queue {facts.run.step_queue} grants {counted(rate, 'lease')} in any second, and"
        f" {granted:,} {'was' if granted == 1 else 'were'} granted just now"
    )
    if granted < rate:
        return True, f"{text}."
    soon = queue.limits.oldest_for_seconds or COUNTS_FOR_SECONDS
    return False, f"{text}; it grants more within {max(soon, 0.1):.1f} s."


def _key(facts: RunFacts) -> tuple[bool, str] | None:
    run, standing = facts.run, facts.standing
    if standing is None or run.concurrency_key is None:
        return None
    key = (run.queue, run.concurrency_key)
    has_place = facts.ahead is not None and not standing.is_gated
    if has_place:
        return True, f"It has a place of its concurrencyKey {key[1]!r}."
    if not standing.is_gated and standing.taken < standing.allowed:
        return True, f"Its concurrencyKey {key[1]!r} has a free place."
    text = full_key(key, standing)
    if facts.ahead:
        comes = _at_least(facts.ahead, "run of that key comes", "runs of that key come")
        text += f" {comes} before it."
    return False, text[0].upper() + text[1:]


def _at_least(ahead: int, one: str, many: str) -> str:
    return f"{'At least ' if ahead >= COUNTED_AHEAD else ''}{counted(ahead, one, many)}"


def _estimate(queue: StepQueue, ahead: int) -> str:
    """How soon its turn comes, by what was claimed lately; at least how late, by the rate."""
    lately = roughly(queue.claimed_seconds)
    if queue.claimed:
        wait = roughly(max(1, ahead * queue.claimed_seconds / queue.claimed))
        after = f"not before {wait}" if ahead >= COUNTED_AHEAD else f"in about {wait}"
        were = counted(queue.claimed, "run was", "runs were")
        return f"{were} claimed from it in the last {lately}: at this pace its turn comes {after}."
    if queue.limits is not None and (rate := queue.limits.rate_per_second) and ahead >= rate:
        return f"At the queue's rate that takes {roughly(ahead / rate)} at least."
    return f"When its turn comes cannot be said: nothing was claimed from it in the last {lately}."


def _why_not(group: Group) -> str:
    names = listed(group.names, of=group.executors)
    if group.standing == "unseen":
        what = "was last seen" if group.executors == 1 else "were last seen, the latest"
        return f"{group.executors:,} {what} at {utc(group.seen_at)}{names}"
    is_ = "is" if group.executors == 1 else "are"
    return f"{group.executors:,} {is_} {_WHY_NOT_SERVING[group.standing]}{names}"


def _untold(gate: Gate, facts: RunFacts, *, is_open: bool) -> GateSeen:
    return GateSeen(gate, is_open, _untold_text(facts))


def _untold_text(facts: RunFacts) -> str:
    return f"This token is not for queue {facts.run.step_queue}: no more is told of it."
