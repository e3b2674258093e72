"""What explain makes of facts: gates, the reason, and the words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from orchestrator.desk.explain import explain
from orchestrator.desk.explanation import Explanation
from orchestrator.desk.run_facts import RunFacts, StepQueue
from orchestrator.desk.wording import counted, listed, quoted, roughly, utc
from orchestrator.store.explain import COUNTED_AHEAD, Group, Holder, Leased, Surroundings
from orchestrator.store.gates import Standing
from orchestrator.store.limits import Limits
from orchestrator.store.records import Run

NOW = datetime(2026, 11, 22, 13, 26, 58, 123_000, UTC)
FIRST, SECOND = (UUID(f"01900000-0000-7000-8000-00000000000{n}") for n in (1, 2))
NOTHING: dict[str, Any] = dict.fromkeys(Run._fields)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def json(value: Any) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(value))


RUN = Run(
    **NOTHING
    | {
        "id": FIRST,
        "queue": "billing",
        "step_queue": "billing",
        "run_state": "pending",
        "step_name": "pay",
        "step_type": "pay-back",
        "available_at": ago(60),
        "failures": 0,
        "created_by": "web",
    }
)
HELD = RUN._replace(
    run_state="started", locked_by="fleet:one", locked_at=ago(5), lease_expires_at=ago(-25)
)
AROUND = Surroundings(
    now=NOW,
    event="created",
    event_at=ago(60),
    event_detail=json({}),
    max_failures=3,
    releases=0,
    lease_seconds=30,
    last_tick_at=ago(0.1),
    amnesty_since=None,
    is_paused=False,
    queue_changed_by=None,
    queue_changed_at=None,
    paused_by=None,
    paused_at=None,
)
SERVING = Group("serving", 1, ("fleet:one",), NOW, slots=4, free=4, unsaid=0)
QUEUE = StepQueue(
    limits=None,
    leased=None,
    groups=(SERVING,),
    is_covered=True,
    claimed=0,
    claimed_seconds=330.0,
)
LIMITS = Limits("billing", 3, None, None, 0, 0, None)
RATE = Limits("billing", None, None, 5, 5, 1, 0.7)
PENDING = RunFacts(RUN, AROUND, queue=QUEUE, ahead=0)
GATED = Standing(is_gated=True, allowed=2, taken=2, holders=(FIRST, SECOND))


def with_queue(**changes: Any) -> RunFacts:
    return replace(PENDING, queue=replace(QUEUE, **changes))


def held(around: Surroundings = AROUND, **changes: Any) -> RunFacts:
    return RunFacts(HELD._replace(**changes), around)


def shut(explanation: Explanation) -> list[str]:
    return [gate.gate for gate in explanation.gates if not gate.is_open]


@pytest.mark.parametrize(
    ("facts", "reason", "text"),
    [
        (PENDING, "next", "Nothing is in its way: the next claim from queue billing gets it."),
        (
            held(),
            "executing",
            "fleet:one has held it since 2026-11-22 13:26:53 UTC and executes it;"
            " until 2026-11-22 13:27:23 UTC unless it renews.",
        ),
        (
            held(lease_expires_at=ago(-15)),
            "executing",
            "fleet:one has held it since 2026-11-22 13:26:53 UTC and executes it;"
            " until 2026-11-22 13:27:13 UTC unless it renews.",
        ),
        (
            held(run_state="loading"),
            "executing",
            "fleet:one has held it since 2026-11-22 13:26:53 UTC and has not confirmed yet that it"
            " executes it; until 2026-11-22 13:27:23 UTC unless it renews.",
        ),
        (
            held(lease_expires_at=ago(-9)),
            "executing",
            "fleet:one has held it since 2026-11-22 13:26:53 UTC and executes it;"
            " until 2026-11-22 13:27:07 UTC unless it renews."
            " Its heartbeat is late: the last one came 21 s ago.",
        ),
        (
            held(lease_expires_at=ago(-9), abort_requested_at=ago(21)),
            "executing",
            "fleet:one has held it since 2026-11-22 13:26:53 UTC and executes it;"
            " until 2026-11-22 13:27:07 UTC unless it renews."
            " An abort was asked for at 2026-11-22 13:26:37 UTC: its holder is told when it renews,"
            " and has that time to end it.",
        ),
        (
            held(lease_expires_at=ago(1)),
            "held",
            "fleet:one held it until 2026-11-22 13:26:57 UTC and did not renew."
            " The keeper takes it back within a second.",
        ),
        (
            held(replace(AROUND, last_tick_at=ago(6)), lease_expires_at=ago(1)),
            "held",
            "fleet:one held it until 2026-11-22 13:26:57 UTC and did not renew."
            " It stays so while no keeper is awake: the last one ticked at"
            " 2026-11-22 13:26:52 UTC.",
        ),
        (
            held(replace(AROUND, last_tick_at=None), lease_expires_at=ago(1)),
            "held",
            "fleet:one held it until 2026-11-22 13:26:57 UTC and did not renew."
            " It stays so while no keeper has ticked yet.",
        ),
        (
            held(replace(AROUND, amnesty_since=ago(10)), lease_expires_at=ago(1)),
            "held",
            "fleet:one held it until 2026-11-22 13:26:57 UTC and did not renew."
            " There was an outage until 2026-11-22 13:26:48 UTC, so nobody loses it before"
            " 2026-11-22 13:27:18 UTC.",
        ),
        (
            held(replace(AROUND, amnesty_since=ago(31)), lease_expires_at=ago(1)),
            "held",
            "fleet:one held it until 2026-11-22 13:26:57 UTC and did not renew."
            " The keeper takes it back within a second.",
        ),
        (
            replace(
                PENDING,
                run=RUN._replace(
                    run_state="waiting",
                    waiting_for=json({"reason": "outcome-unknown"}),
                    abort_requested_at=ago(90),
                ),
                ahead=None,
            ),
            "outcome-unknown",
            "Since 2026-11-22 13:25:58 UTC it is not known whether its mutating step pay has"
            " happened; only resolve moves it. An abort was asked for at 2026-11-22 13:25:28 UTC.",
        ),
        (
            with_queue(
                limits=LIMITS,
                leased=Leased(
                    4, (Holder("fleet:one", "billing", 2), Holder("fleet:two", "billing", 1))
                ),
            ),
            "limit",
            "Queue billing allows 3 leases at once, and 4 are held"
            " (fleet:one: 2, fleet:two: 1, others: 1).",
        ),
        (
            with_queue(limits=RATE),
            "limit",
            "Queue billing grants 5 leases in any second, and 5 were granted just now;"
            " it grants more within 0.7 s.",
        ),
        (
            replace(
                PENDING, run=RUN._replace(concurrency_key="k"), standing=GATED, ahead=COUNTED_AHEAD
            ),
            "limit",
            "Of the runs with concurrencyKey 'k' in queue billing at most 2 may be claimed or held"
            f" at once, and now 2 are ({FIRST}, {SECOND})."
            " At least 10,000 runs of that key come before it.",
        ),
        (
            with_queue(
                groups=(
                    Group("draining", 2, ("a", "b"), NOW, 0, 0, 0),
                    Group("unseen", 5, ("c",), ago(3600), 0, 0, 0),
                )
            ),
            "not-served",
            "No active executor that is registered and was seen in the last 90 s serves queue"
            " billing and step type pay-back: 2 are draining (a, b);"
            " 5 were last seen, the latest at 2026-11-22 12:26:58 UTC (c and 4 more).",
        ),
        (
            with_queue(groups=(replace(SERVING, executors=2, slots=8, free=0, names=()),)),
            "slots-busy",
            "All slots of the 2 executors that serve it are taken: 8 of 8.",
        ),
        (
            replace(PENDING, ahead=COUNTED_AHEAD),
            "position",
            "At least 10,000 runs of queue billing are before it. When its turn comes cannot be"
            " said: nothing was claimed from it in the last 6 min.",
        ),
        (
            replace(with_queue(claimed=1), ahead=2),
            "position",
            "2 runs of queue billing are before it. 1 run was claimed from it in the last 6 min:"
            " at this pace its turn comes in about 11 min.",
        ),
        (
            replace(with_queue(claimed=3_300), ahead=COUNTED_AHEAD),
            "position",
            "At least 10,000 runs of queue billing are before it. 3,300 runs were claimed from it"
            " in the last 6 min: at this pace its turn comes not before 17 min.",
        ),
        (
            replace(with_queue(limits=replace(RATE, granted=0)), ahead=4),
            "position",
            "4 runs of queue billing are before it. When its turn comes cannot be"
            " said: nothing was claimed from it in the last 6 min.",
        ),
        (
            replace(with_queue(limits=replace(RATE, granted=0)), ahead=1_500),
            "position",
            "1,500 runs of queue billing are before it."
            " At the queue's rate that takes 5 min at least.",
        ),
    ],
)
def test_the_reason_is_the_first_gate_that_is_shut(facts: RunFacts, reason: str, text: str) -> None:
    explanation = explain(facts)

    assert (explanation.reason, explanation.text) == (reason, text)
    assert shut(explanation) == ([] if reason in ("next", "executing") else [reason])
    assert explanation.is_executing == (reason == "executing")


def test_the_text_of_what_somebody_else_said_is_cut() -> None:
    error = json({"code": "step-failed", "message": "x" * 1_000})
    run = RUN._replace(run_state="failed", finished_at=NOW, error=error)

    text = explain(RunFacts(run, AROUND)).text

    assert text == f"It failed at 2026-11-22 13:26:58 UTC. step-failed: {'x' * 200}…"


def test_limits_that_leave_room_are_told_too() -> None:
    leased = Leased(1, (Holder("fleet:one", "billing", 1),))
    limits = replace(LIMITS, rate_per_second=5)
    facts = with_queue(limits=limits, leased=leased)

    (text,) = (gate.text for gate in explain(facts).gates if gate.gate == "limit")

    assert text == (
        "Queue billing allows 3 leases at once, and 1 is held (fleet:one: 1)."
        " Queue billing grants 5 leases in any second, and 0 were granted just now."
    )


def test_whoever_is_not_for_the_queue_is_told_no_figures() -> None:
    limits = replace(LIMITS, rate_per_second=5)
    facts = replace(
        with_queue(limits=limits, leased=Leased(1, ()), is_covered=False),
        run=RUN._replace(step_queue="secret"),
        ahead=7,
    )

    told = {gate.gate: gate.text for gate in explain(facts).gates}

    untold = "This token is not for queue secret: no more is told of it."
    assert [told[gate] for gate in ("limit", "not-served", "slots-busy", "position")] == [
        untold
    ] * 4


def test_one_who_does_not_say_how_many_slots_it_has_may_have_a_free_one() -> None:
    facts = with_queue(groups=(replace(SERVING, slots=0, free=0, unsaid=1),))

    explanation = explain(facts)

    assert explanation.reason == "next"
    assert explanation.gates[-2].text == (
        "Of the 1 executor that serves it, 1 does not say how many slots it has."
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (utc(None), "never"),
        (utc(NOW), "2026-11-22 13:26:58 UTC"),
        (roughly(0.4), "0 s"),
        (roughly(119), "119 s"),
        (roughly(120), "2 min"),
        (roughly(3 * 3_600), "3 h"),
        (roughly(3 * 86_400), "3 d"),
        (counted(1, "run"), "1 run"),
        (counted(12_345, "run"), "12,345 runs"),
        (counted(2, "executor serves", "executors serve"), "2 executors serve"),
        (listed([], of=3), ""),
        (listed(["a", "b"], of=2), " (a, b)"),
        (listed(["a", "b"], of=4_000), " (a, b and 3,998 more)"),
        (quoted("x" * 200), "x" * 200),
    ],
)
def test_the_wording(said: str, expected: str) -> None:
    assert said == expected
