"""The results as `bench.json` has them."""

from tests.bench.figures import BARE, OURS
from tests.bench.idle import Idleness
from tests.bench.results import Rate, Results

SHOWN_STATEMENTS = 5


def as_json(results: Results) -> dict[str, object]:
    """Everything, with every sample."""
    return {
        "takenAt": results.taken_at.isoformat(timespec="seconds"),
        "commit": results.commit,
        "machine": results.machine,
        "settings": results.settings,
        "figures": [_rate_json(rate) for rate in results.rates],
        "createToHandlerStartMs": _starts_json(results) if results.starts else None,
        "idleExecutors": [_idle_json(one, results.idle[0]) for one in results.idle],
        "targets": [
            {
                "name": one.name,
                "value": round(one.value, 2),
                "target": str(one.target),
                "met": one.is_met,
            }
            for one in results.reached()
        ],
        "generator": _generator_json(results),
    }


def _starts_json(results: Results) -> dict[str, object]:
    return {
        "p50": round(results.begun_ms(50), 2),
        "p99": round(results.begun_ms(99), 2),
        "creates": len(results.starts),
        "createAnsweredP50": round(results.answered_ms(50), 2),
        "createAnsweredP99": round(results.answered_ms(99), 2),
    }


def _generator_json(results: Results) -> dict[str, object]:
    return {
        "healthzPerSecond": round(results.ceiling.requests_per_second, 1),
        "busyAtHealthz": round(results.ceiling.busy, 3),
        "samples": {
            key: [
                {
                    "requestsPerSecond": round(outcome.requests_per_second, 1),
                    "claimP50Ms": round(outcome.p50_ms, 2),
                    "claimP99Ms": round(outcome.p99_ms, 2),
                    "busy": round(outcome.busy, 3),
                }
                for outcome in outcomes
            ]
            for key, outcomes in results.outcomes.items()
        },
    }


def _rate_json(rate: Rate) -> dict[str, object]:
    ratio, target = rate.ratio(OURS), rate.figure.target
    return {
        "key": rate.figure.key,
        "name": rate.figure.name,
        "unit": "runs/s",
        "medians": {side: round(rate.median(side), 1) for side in rate.samples},
        "ratios": {side: round(rate.ratio(side), 3) for side in (OURS, BARE)},
        "target": str(target),
        "met": target.is_met(ratio),
        "cpuMsPerRun": {
            side: {program: round(ms, 4) for program, ms in rate.cpu_ms(side).items()}
            for side in rate.samples
        },
        "samples": {
            side: [round(sample.runs_per_second, 1) for sample in samples]
            for side, samples in rate.samples.items()
        },
    }


def _idle_json(one: Idleness, nobody: Idleness) -> dict[str, object]:
    held = one.footprint
    return {
        "executors": one.executors,
        "tokens": one.tokens,
        "queriesPerSecond": [round(rate, 2) for rate in one.queries_per_second],
        "controlPerSecond": [round(rate, 2) for rate in one.control_per_second],
        "refused": one.refused,
        "causedPerSecond": round(one.caused(nobody), 2),
        "mostCaused": [
            {"query": text, "perSecond": round(rate, 2)}
            for text, rate in one.more_than(nobody)[:SHOWN_STATEMENTS]
        ],
        "memoryMb": round(held.memory_mb, 1) if held else None,
        "threads": held.threads if held else None,
    }
