"""The tally of one process: bounded, whatever is asked of it, and taken once."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from uuid import UUID, uuid4

from orchestrator.lifecycle import NAME_PATTERN
from orchestrator.store.activity import Counted
from orchestrator.store.refusals import MOST_KEPT
from orchestrator.store.tally import MOST_QUEUES, MOST_RUNS, OTHERS, Tally, moved, reported


@dataclass(frozen=True)
class Run:
    run_state: str
    step_queue: str = "q"


def test_what_is_taken_is_taken_once() -> None:
    tally = Tally()
    tally.count(Counted.CREATED, "a")
    tally.add({("a", Counted.CREATED): 2, ("b", Counted.CLAIMED): 1})
    first, second = tally.take(), tally.take()

    assert first.counts == {"a": {Counted.CREATED: 3}, "b": {Counted.CLAIMED: 1}}
    assert (second.counts, second.refused) == ({}, {})


def test_more_queues_than_are_told_apart_are_counted_under_one_name() -> None:
    tally = Tally()
    for number in range(MOST_QUEUES + 10):
        tally.count(Counted.CREATED, f"q{number}")
    tally.count(Counted.CREATED, "q0")
    counts = tally.take().counts

    assert len(counts) == MOST_QUEUES + 1
    assert (counts["q0"][Counted.CREATED], counts[OTHERS][Counted.CREATED]) == (2, 10)


def test_more_runs_than_are_told_apart_are_only_counted() -> None:
    tally = Tally()
    for number in range(MOST_RUNS + 10):
        tally.refuse(UUID(int=number), "run-held", executor="fleet")
    tally.refuse(UUID(int=0), "run-held", executor="fleet")
    taken = tally.take()

    assert len(taken.refused) == MOST_RUNS
    assert taken.refused[UUID(int=0)].number == 2
    assert taken.counts == {OTHERS: {Counted.REFUSED: 10}}


def test_of_those_refused_the_last_few_are_kept_oldest_first() -> None:
    tally, run_id = Tally(), uuid4()
    for number in range(2 * MOST_KEPT):
        tally.refuse(run_id, "run-held", executor=f"fleet:{number}")
    refused = tally.take().refused[run_id]

    assert refused.number == 2 * MOST_KEPT
    assert [one.executor for _, one in refused.last] == [
        f"fleet:{number}" for number in range(MOST_KEPT, 2 * MOST_KEPT)
    ]
    ages = [seconds_ago for seconds_ago, _ in refused.last]
    assert ages == sorted(ages, reverse=True)
    assert ages[-1] >= 0


def test_what_could_not_be_written_counts_with_what_comes_next() -> None:
    tally = Tally()
    tally.count(Counted.CREATED, "a")
    tally.refuse(uuid4(), "run-held", executor="fleet")
    taken = tally.take()
    tally.count(Counted.CREATED, "a")
    tally.put_back(taken)
    again = tally.take()

    assert again.counts == {"a": {Counted.CREATED: 2}, OTHERS: {Counted.REFUSED: 1}}
    assert again.refused == {}


def test_a_name_for_all_others_is_no_queues() -> None:
    assert not re.fullmatch(NAME_PATTERN, OTHERS)


def test_the_end_of_a_run_is_counted_beside_what_happened_to_it() -> None:
    runs = [Run("pending"), Run("failed"), Run("aborted", "r")]

    assert moved(runs) == {("q", Counted.FAILED): 1, ("r", Counted.ABORTED): 1}
    assert moved(runs, Counted.EXPIRED) == Counter(
        {
            ("q", Counted.EXPIRED): 2,
            ("r", Counted.EXPIRED): 1,
            ("q", Counted.FAILED): 1,
            ("r", Counted.ABORTED): 1,
        }
    )


def test_an_error_that_is_tried_again_is_a_retry_and_a_later_is_none() -> None:
    outcomes = [
        ("success", "finished", "q"),
        ("success", "started", "q"),
        ("error", "scheduled", "q"),
        ("later", "scheduled", "q"),
        ("error", "failed", "r"),
    ]

    assert reported(outcomes) == {
        ("q", Counted.REPORTED): 4,
        ("q", Counted.FINISHED): 1,
        ("q", Counted.RETRIED): 1,
        ("r", Counted.REPORTED): 1,
        ("r", Counted.FAILED): 1,
    }


def test_what_is_counted_in_all_is_counted_once_also_when_it_could_not_be_written_down() -> None:
    created = Total()
    tally = Tally({Counted.CREATED: created})

    tally.add({("a", Counted.CREATED): 2, ("b", Counted.CREATED): 1, ("b", Counted.CLAIMED): 5})
    tally.put_back(tally.take())

    assert created.sum == 3
    assert tally.take().counts["a"] == {Counted.CREATED: 2}


class Total:
    """Something that adds up."""

    def __init__(self) -> None:
        self.sum = 0.0

    def add(self, amount: float) -> None:
        self.sum += amount
