"""One run of the bench: every figure, side by side, again and again."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime

from tests.bench import backlog
from tests.bench.claims import ask_nothing_all_the_time, claim_all_the_time
from tests.bench.drain import EXECUTOR_PROCESSES, SLOTS
from tests.bench.figures import Figures
from tests.bench.idle import Idleness, idleness
from tests.bench.machine import commit, machine
from tests.bench.results import Rate, Results
from tests.bench.sizes import Sizes
from tests.bench.stage import Stage, stage
from tests.bench.starts import Start, create_to_start

CLIENTS = 16
START, IDLE = "start", "idle"
KEYS = ("claims", "cycles", "batches", "drain", START, IDLE)


def bench(
    sizes: Sizes,
    *,
    only: Collection[str],
    quick: bool,
    repeats: int,
    workers: int,
    say: Callable[[str], None],
) -> Results:
    """
    Take every sample, the sides of a figure right after each other.

    Drift of the machine hits all sides alike: each repeat begins with another side.

    Args:
        only: The figures that are wanted, of `KEYS`.

    Raises:
        BenchError: A sample is worth nothing.
    """
    taken_at = datetime.now(UTC)
    with stage(workers, say) as on:
        figures = Figures(on, sizes)
        rates = [
            Rate(figure, {side: [] for side in figure.sides})
            for figure in figures.all()
            if figure.key in only
        ]
        starts: list[Start] = []
        # First: nothing is lost when the claims cannot be parked.
        idle = _idle(on, sizes, say) if IDLE in only else []
        say("the load generator's ceiling")
        ceiling = ask_nothing_all_the_time(on, clients=CLIENTS, seconds=sizes.load_seconds)
        say(f"  GET /healthz   {ceiling.requests_per_second:12,.0f} requests/s")
        # Not counted: the first claims of a process compile and prepare their statements.
        backlog.fill(on.owner, sizes.single_backlog)
        claim_all_the_time(on, clients=CLIENTS, limit=1, seconds=min(1.0, sizes.load_seconds))
        for repeat in range(repeats):
            turn = f"repeat {repeat + 1} of {repeats}"
            for rate in rates:
                say(f"{turn}: {rate.figure.name}")
                _sample(rate, repeat, say)
            if START in only:
                say(f"{turn}: from create to handler start")
                starts += create_to_start(on, sizes.creates)
        return Results(
            taken_at=taken_at,
            commit=commit(),
            machine=machine(on.owner),
            settings={
                "quick": quick,
                "repeats": repeats,
                "orchestratorProcesses": workers,
                "executorProcesses": EXECUTOR_PROCESSES,
                "executorSlots": SLOTS,
            },
            rates=rates,
            starts=starts,
            idle=idle,
            ceiling=ceiling,
            outcomes=figures.outcomes,
        )


def _sample(rate: Rate, repeat: int, say: Callable[[str], None]) -> None:
    for side in _rotated(list(rate.samples), repeat):
        sample = rate.figure.sides[side]()
        rate.samples[side].append(sample)
        cost = f"{sum(sample.cpu_ms.values()):8.3f} ms of a core each" if sample.cpu_ms else ""
        say(f"  {side:14} {sample.runs_per_second:12,.0f} runs/s {cost}")


def _idle(on: Stage, sizes: Sizes, say: Callable[[str], None]) -> list[Idleness]:
    say(f"queries of {sizes.idle_executors} idle executors")
    found = idleness(on, sizes)
    for one in found:
        say(f"  {one.executors:4} executors, {one.tokens:3} tokens {one.median:10.1f} queries/s")
    return found


def _rotated(sides: list[str], by: int) -> list[str]:
    by %= len(sides)
    return sides[by:] + sides[:by]
