"""Explain: why a run does not execute now, in plain words.

Each gate between it and its execution is looked at, in the order in which they count;
what does not stand before a run in its state is left out. The words are those of refused
claims, so that what an executor was told and what a person reads is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from orchestrator.desk import queue_gates, run_gates
from orchestrator.desk.explanation import EXECUTING, NEXT, Explanation, GateSeen
from orchestrator.desk.run_facts import Onlooker, RunFacts, facts_of
from orchestrator.desk.wording import counted
from orchestrator.lifecycle import LEASED, OVER
from orchestrator.store.engine import Database
from orchestrator.store.transaction import transact


def explain_run(database: Database, run_id: UUID, onlooker: Onlooker) -> Explanation:
    """
    Why a run does not execute now, as it was at one moment; locks nothing.

    Raises:
        RunNotFound: There is no such run among the onlooker's queues.
    """
    return explain(transact(database.work, partial(facts_of, run_id=run_id, onlooker=onlooker)))


def explain(facts: RunFacts) -> Explanation:
    """The same, of facts that were read."""
    gates = _gates(facts)
    shut = [gate for gate in gates if not gate.is_open]
    is_executing = facts.run.run_state in LEASED and not shut
    if shut:
        reason, text = str(shut[0].gate), shut[0].text
    elif is_executing:
        reason, text = EXECUTING, gates[0].text
    else:
        reason = NEXT
        text = f"Nothing is in its way: the next claim from queue {facts.run.step_queue} gets it."
    if others := shut[1:]:
        text += f" {_also(others)}"
    return Explanation(facts.run.run_state, is_executing, reason, text, tuple(gates))


def _gates(facts: RunFacts) -> list[GateSeen]:
    if facts.run.run_state in OVER:
        return [run_gates.over(facts)]
    queue = facts.queue
    if queue is None:
        return [run_gates.held(facts)]
    gates = [
        run_gates.waiting(facts) or run_gates.due_time(facts),
        queue_gates.paused(facts, queue),
        queue_gates.limit(facts, queue),
        queue_gates.not_served(facts, queue),
    ]
    if (serving := queue_gates.serving_group(queue)) is not None:
        gates.append(queue_gates.slots_busy(facts, queue, serving))
    is_gated = facts.standing is not None and facts.standing.is_gated
    if facts.ahead is not None and not is_gated:
        gates.append(queue_gates.position(facts, queue, facts.ahead))
    return gates


def _also(others: Sequence[GateSeen]) -> str:
    names = ", ".join(gate.gate for gate in others)
    return f"{counted(len(others), 'more gate is', 'more gates are')} shut: {names}."
