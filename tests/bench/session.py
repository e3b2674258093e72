"""One run of the bench: every figure, side by side, again and again."""

from collections.abc import Callable
from datetime import UTC, datetime

from tests.bench import backlog
from tests.bench.claims import ask_nothing_all_the_time, claim_all_the_time
from tests.bench.executions import EXECUTORS, SLOTS, create_to_start_ms
from tests.bench.figures import Figures
from tests.bench.machine import commit, machine
from tests.bench.results import Rate, Results
from tests.bench.sizes import Sizes
from tests.bench.stage import stage

CLIENTS = 16


def bench(
    sizes: Sizes, *, quick: bool, repeats: int, workers: int, say: Callable[[str], None]
) -> Results:
    """
    Take every sample, the sides of a figure right after each other.

    Drift of the machine hits all sides alike: each repeat begins with another side.

    Raises:
        BenchError: A sample is worth nothing.
    """
    taken_at = datetime.now(UTC)
    with stage(workers, say) as on:
        figures = Figures(on, sizes)
        rates = [Rate(figure.name, {side: [] for side in figure.sides}) for figure in figures.all()]
        starts_ms: list[float] = []
        say("the load generator's ceiling")
        ceiling = ask_nothing_all_the_time(on, clients=CLIENTS, seconds=sizes.load_seconds)
        say(f"  GET /healthz   {ceiling.requests_per_second:12,.0f} requests/s")
        # Not counted: the first claims of a process compile and prepare their statements.
        backlog.fill(on.owner, sizes.single_backlog)
        claim_all_the_time(on, clients=CLIENTS, limit=1, seconds=min(1.0, sizes.load_seconds))
        for repeat in range(repeats):
            for figure, rate in zip(figures.all(), rates, strict=True):
                say(f"repeat {repeat + 1} of {repeats}: {figure.name}")
                for side in _rotated(list(figure.sides), repeat):
                    sample = figure.sides[side]()
                    rate.samples[side].append(sample)
                    say(f"  {side:14} {sample:12,.0f} runs/s")
            say(f"repeat {repeat + 1} of {repeats}: from create to handler start")
            starts_ms += create_to_start_ms(on, sizes.creates)
        return Results(
            taken_at=taken_at,
            commit=commit(),
            machine=machine(on.owner),
            settings={
                "quick": quick,
                "repeats": repeats,
                "orchestratorProcesses": workers,
                "executorProcesses": EXECUTORS,
                "executorSlots": SLOTS,
            },
            rates=rates,
            starts_ms=starts_ms,
            ceiling=ceiling,
            claims=figures.outcomes,
        )


def _rotated(sides: list[str], by: int) -> list[str]:
    by %= len(sides)
    return sides[by:] + sides[:by]
