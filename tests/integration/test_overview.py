"""The overview: what it counts, what needs attention, and of which queues."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.desk.census import CensusDesk
from orchestrator.desk.overview import LATE_SECONDS, MINUTES, MOST_NAMED, Overview, overview
from orchestrator.store.activity import HOUR, MINUTE, Counted
from orchestrator.store.census import Count
from tests.integration.dibs import Dibs
from tests.integration.wishes import QUEUE, Executor


def seen(dibs: Dibs, *patterns: str, span_seconds: int = MINUTE, points: int = MINUTES) -> Overview:
    counted = CensusDesk(dibs.database).now()
    return overview(
        dibs.database, counted, patterns or ("*",), span_seconds=span_seconds, points=points
    )


def count_lately(dibs: Dibs, queue: str, minutes_ago: int, **numbers: int) -> None:
    """Write down what happened in a minute, as the processes would have done."""
    columns = ", ".join(f'"{name}"' for name in numbers)
    values = ", ".join(str(number) for number in numbers.values())
    dibs.owner.execute(
        f"""
        INSERT INTO activity ("spanSeconds", "beganAt", queue, {columns})
        VALUES (60, date_trunc('minute', now()) - interval '{minutes_ago} minutes', %s, {values})
        """.encode(),
        [queue],
    )


def late(found: Overview) -> list[tuple[str, bool]]:
    return [(queue.name, queue.is_served) for queue in found.attention.late]


def test_the_figures_are_those_of_the_census_and_of_the_last_hour(
    dibs: Dibs, executor: Executor
) -> None:
    for _ in range(3):
        dibs.pending()
    dibs.dispatch(executor)
    count_lately(dibs, QUEUE, 1, finished=5, failed=1, mostPending=7)
    count_lately(dibs, QUEUE, 0, finished=1)
    # The minute may be over before it is looked at.
    count_lately(dibs, QUEUE, MINUTES - 2, finished=10, failed=2)
    count_lately(dibs, QUEUE, MINUTES + 2, finished=100, failed=20)
    figures = seen(dibs).figures

    assert (figures.pending, figures.running) == (Count(3), Count(1))
    assert (figures.finished, figures.failed) == (16, 3)
    assert figures.oldest_at is not None
    assert len(figures.hour) == MINUTES
    assert max(point.most_pending for point in figures.hour) == 7


def test_the_charts_go_back_as_far_as_asked_and_end_with_what_is_over(dibs: Dibs) -> None:
    charted = seen(dibs, span_seconds=HOUR, points=24).charted

    assert len(charted) == 24
    assert charted[-1].began_at - charted[0].began_at == timedelta(hours=23)
    assert charted[-1].began_at + timedelta(hours=1) <= dibs.now()


def test_where_all_is_well_nothing_needs_attention(dibs: Dibs, executor: Executor) -> None:
    dibs.register(executor, slots=1, queues=(QUEUE,))
    dibs.pending()

    assert not seen(dibs).attention.is_needed


def test_a_queue_that_nobody_serves_needs_attention_at_once(dibs: Dibs, executor: Executor) -> None:
    dibs.pending()
    before = late(seen(dibs))
    dibs.register(executor, slots=1, queues=(QUEUE,))

    assert before == [(QUEUE, False)]
    assert late(seen(dibs)) == []


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_queue_whose_oldest_run_is_late_does_unless_it_is_paused(
    dibs: Dibs, executor: Executor, is_paused: bool
) -> None:
    dibs.register(executor, slots=1, queues=(QUEUE,))
    dibs.pending()
    dibs.owner.execute(
        'UPDATE "workflowRuns" SET "availableAt" = now() - make_interval(secs => %s)',
        [LATE_SECONDS],
    )
    if is_paused:
        dibs.owner.execute(
            'INSERT INTO queues (name, paused, "changedBy", "changedAt")'
            " VALUES (%s, true, 'ops', now())",
            [QUEUE],
        )
    found = seen(dibs)

    assert late(found) == ([] if is_paused else [(QUEUE, True)])
    assert (found.figures.oldest_at is None) == is_paused


def test_runs_whose_outcome_is_unknown_and_executors_in_quarantine_do(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    for each in (executor, other):
        dibs.register(each, slots=1, queues=(QUEUE,))
    dibs.pending()
    dibs.tell(dibs.dispatch(executor), executor, "unknown", message="?")
    dibs.pending()
    dibs.tell(
        dibs.dispatch(executor), executor, "awaiting-input", waiting_for='{"reason": "input"}'
    )
    dibs.owner.execute(
        "UPDATE executors SET state = 'quarantined', reason = 'five incidents',"
        ' "seenAt" = now() - CASE "fullName" WHEN %s THEN interval \'1 hour\''
        " ELSE interval '0' END",
        [other.name],
    )
    attention = seen(dibs).attention

    assert attention.unknown == Count(1)
    assert [(each.full_name, each.reason) for each in attention.quarantined] == [
        (executor.name, "five incidents")
    ]


def test_what_concerns_other_queues_is_not_shown(dibs: Dibs, executor: Executor) -> None:
    dibs.register(executor, slots=1, queues=(QUEUE,))
    dibs.pending()
    dibs.tell(dibs.dispatch(executor), executor, "unknown", message="?")
    dibs.pending(queue="unserved")
    dibs.owner.execute("UPDATE executors SET state = 'quarantined'")
    count_lately(dibs, QUEUE, 1, finished=5, failed=1)
    found = seen(dibs, "others.*")

    assert not found.attention.is_needed
    assert (found.figures.pending, found.figures.finished) == (Count(0), 0)
    assert sum(point.numbers[Counted.FAILED] for point in found.charted) == 0
    assert seen(dibs, QUEUE).attention.unknown == Count(1)


def test_no_more_queues_are_named_than_can_be_read(dibs: Dibs) -> None:
    for number in range(MOST_NAMED + 1):
        dibs.pending(queue=f"unserved-{number}")

    assert len(late(seen(dibs))) == MOST_NAMED
