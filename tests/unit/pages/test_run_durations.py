"""How long runs take, told of the right ones."""

from datetime import timedelta

import pytest

from orchestrator.pages.run_durations import Durations, durations_by_workflow
from orchestrator.store.outcomes import Outcomes


def ms(number):
    return None if number is None else timedelta(milliseconds=number)


def test_percentiles_are_durations_that_a_run_took():
    outcomes = [
        Outcomes("refund", "one", 60, 0, list(range(1, 61))),
        Outcomes("refund", "other", 40, 5, list(range(61, 101))),
    ]

    assert Durations.of(outcomes) == Durations(105, 5, ms(50), ms(95))


@pytest.mark.parametrize(
    ("took", "p50", "p95"), [([], None, None), ([7], 7, 7), ([1, 9], 1, 9), ([3, 1, 2], 2, 3)]
)
def test_percentiles_of_few(took, p50, p95):
    durations = Durations.of([Outcomes("w", "q", len(took), 1, took)])

    assert (durations.p50, durations.p95) == (ms(p50), ms(p95))


def test_only_runs_of_the_tokens_queues_are_told_of():
    outcomes = [
        Outcomes("refund", "billing.eu", 1, 0, [5]),
        Outcomes("refund", "secret", 1, 1, [500]),
        Outcomes("hidden", "secret", 1, 0, [1]),
        Outcomes("audit", "billing.us", 0, 2, []),
    ]

    assert durations_by_workflow(outcomes, ("billing.*",)) == {
        "audit": Durations(2, 2, None, None),
        "refund": Durations(1, 0, ms(5), ms(5)),
    }
