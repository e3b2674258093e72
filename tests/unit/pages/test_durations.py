"""How long runs take, told of the right ones and in words."""

import pytest

from orchestrator.pages.durations import Durations, durations_by_workflow, in_words
from orchestrator.store.outcomes import Outcomes


def test_percentiles_are_durations_that_a_run_took():
    outcomes = [
        Outcomes("refund", "one", 60, 0, list(range(1, 61))),
        Outcomes("refund", "other", 40, 5, list(range(61, 101))),
    ]

    assert Durations.of(outcomes) == Durations(runs=105, failed=5, p50_ms=50, p95_ms=95)


@pytest.mark.parametrize(
    ("took", "p50", "p95"), [([], None, None), ([7], 7, 7), ([1, 9], 1, 9), ([3, 1, 2], 2, 3)]
)
def test_percentiles_of_few(took, p50, p95):
    durations = Durations.of([Outcomes("w", "q", len(took), 1, took)])

    assert (durations.p50_ms, durations.p95_ms) == (p50, p95)


def test_only_runs_of_the_tokens_queues_are_told_of():
    outcomes = [
        Outcomes("refund", "billing.eu", 1, 0, [5]),
        Outcomes("refund", "secret", 1, 1, [500]),
        Outcomes("hidden", "secret", 1, 0, [1]),
        Outcomes("audit", "billing.us", 0, 2, []),
    ]

    assert durations_by_workflow(outcomes, ("billing.*",)) == {
        "audit": Durations(2, 2, None, None),
        "refund": Durations(1, 0, 5, 5),
    }


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (None, "–"),
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1.0 s"),
        (9_940, "9.9 s"),
        (90_000, "90 s"),
        (119_000, "119 s"),
        (120_000, "2.0 min"),
        (7_200_000, "2.0 h"),
        (172_800_000, "2 d"),
    ],
)
def test_durations_are_said_in_the_unit_that_fits(ms, said):
    assert in_words(ms) == said
