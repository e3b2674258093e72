"""What the load generator found: rates, times, and whether every answer was right."""

import statistics
from dataclasses import dataclass

import orjson

from tests.bench.caller import Answer


@dataclass(frozen=True)
class Outcome:
    """
    What came back.

    Attributes:
        requests_per_second: Answers within the time that counts.
        runs_per_second: Runs in those answers: handed out, or with reports finished.
        p50_ms: How long the claims among them took; `p99_ms` likewise.
        runs: All runs handed out, in the warm-up and after the time too.
        distinct_runs: How many different ones.
        finished: All runs whose report was taken.
        failures: Answers other than 200; `failure` is the first of them.
        busy: The share of one core that the generator itself took.
        busy_seconds: The same in seconds.
    """

    requests_per_second: float
    runs_per_second: float
    p50_ms: float
    p99_ms: float
    runs: int
    distinct_runs: int
    finished: int
    failures: int
    failure: str | None
    busy: float
    busy_seconds: float


def outcome_of(
    answers: list[Answer],
    counted: list[Answer],
    *,
    seconds: float,
    reporting: bool,
    busy_seconds: float,
    took_seconds: float,
) -> Outcome:
    """
    Read the answers: which runs they brought, and how long they took.

    Args:
        counted: Those that came within the time that counts, so many seconds.
        reporting: Whether a run counts when its report is taken, not when it is handed out.
    """
    failed = [answer for answer in answers if answer.status != 200]
    run_ids = [run_id for answer in answers for run_id in runs_in(answer)]
    took_ms = [
        (answer.came_at - answer.asked_at) * 1000 for answer in counted if not answer.is_report
    ]
    cuts = (
        statistics.quantiles(took_ms, n=100, method="inclusive") if len(took_ms) > 1 else [0.0] * 99
    )
    count_runs = finished_in if reporting else runs_in
    return Outcome(
        requests_per_second=len(counted) / seconds,
        runs_per_second=sum(len(count_runs(answer)) for answer in counted) / seconds,
        p50_ms=cuts[49],
        p99_ms=cuts[98],
        runs=len(run_ids),
        distinct_runs=len(set(run_ids)),
        finished=sum(len(finished_in(answer)) for answer in answers),
        failures=len(failed),
        failure=failed[0].body.decode(errors="replace") if failed else None,
        busy=busy_seconds / took_seconds,
        busy_seconds=busy_seconds,
    )


def runs_in(answer: Answer) -> list[str]:
    """The ids of the runs that an answer hands out; a failure hands out none."""
    if answer.status != 200 or answer.is_report:
        return []
    dispatches = orjson.loads(answer.body).get("dispatches", [])
    return [dispatch["run"]["id"] for dispatch in dispatches]


def finished_in(answer: Answer) -> list[str]:
    """The ids of the runs that an answer to a report says are finished."""
    if answer.status != 200 or not answer.is_report:
        return []
    results = orjson.loads(answer.body)["results"]
    return [result["runId"] for result in results if result["status"] == "finished"]
