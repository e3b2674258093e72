"""The figures: what the product does, and what pgbench does with the same work."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.bench import backlog, bare, ours
from tests.bench.claims import claim_all_the_time
from tests.bench.executions import EXECUTORS, drain
from tests.bench.load import Outcome
from tests.bench.pgbench import Script
from tests.bench.sizes import Sizes
from tests.bench.stage import Stage

# The sides: the product over HTTP, its own statements in pgbench, the bare claim in pgbench.
PRODUCT, OURS, BARE = "product", "ours", "bare"
# What the desks claim while they are listened to.
LISTENED_RUNS = 100

Sampler = Callable[[], float]


@dataclass(frozen=True)
class Figure:
    """One row of the table: a sampler for each side, all in runs per second."""

    name: str
    sides: Mapping[str, Sampler]


@dataclass(frozen=True)
class Work:
    """How many clients or connections claim how many runs at once, from a backlog."""

    clients: int
    limit: int
    runs: int


@dataclass
class Figures:
    """
    Every figure that is a rate, on one stage.

    Attributes:
        outcomes: What the load generator said, sample by sample.
    """

    stage: Stage
    sizes: Sizes
    outcomes: list[Outcome] = field(default_factory=list)

    def all(self) -> list[Figure]:
        single = Work(clients=16, limit=1, runs=self.sizes.single_backlog)
        batch = Work(clients=4, limit=50, runs=self.sizes.batch_backlog)
        drained = self.sizes.drained_runs
        return [
            self._claims("single claims, 16 clients", single),
            self._claims("claims of 50, 4 clients", batch),
            Figure(
                f"drain of {drained:,} runs, {EXECUTORS} executors",
                {
                    PRODUCT: lambda: drain(self.stage, drained),
                    OURS: lambda: self._ours(batch, ours.cycle_script, "finished"),
                    BARE: lambda: self._bare(batch, bare.cycle_script, "finished"),
                },
            ),
        ]

    def _claims(self, name: str, work: Work) -> Figure:
        return Figure(
            name,
            {
                PRODUCT: lambda: self._product(work),
                OURS: lambda: self._ours(work, ours.claim_script, "loading"),
                BARE: lambda: self._bare(work, bare.claim_script, "loading"),
            },
        )

    def _product(self, work: Work) -> float:
        backlog.fill(self.stage.owner, work.runs)
        outcome = claim_all_the_time(
            self.stage, clients=work.clients, limit=work.limit, seconds=self.sizes.load_seconds
        )
        self.outcomes.append(outcome)
        return outcome.runs_per_second

    def _ours(self, work: Work, script_for: Callable[[str, int], Script], state: str) -> float:
        backlog.fill(self.stage.owner, LISTENED_RUNS)
        script = script_for(self.stage.service_url, work.limit)
        return self._pgbench(work, script, backlog.RUNS, state)

    def _bare(self, work: Work, script_for: Callable[[int], Script], state: str) -> float:
        return self._pgbench(work, script_for(work.limit), bare.TABLE, state)

    def _pgbench(self, work: Work, script: Script, table: str, state: str) -> float:
        """Run the script on a new backlog; its runs must be in this state afterwards."""
        cycles = self.sizes.pgbench_cycles
        # One more than the cycles take: a backlog that ran dry is worth nothing.
        runs = work.clients * work.limit * cycles + 1 if cycles else work.runs
        backlog.fill(self.stage.owner, runs, table=table)
        measured = self.stage.pgbench.run(
            script,
            connections=work.clients,
            seconds=self.sizes.load_seconds,
            cycles=cycles,
        )
        backlog.check(
            self.stage.owner, measured.transactions * work.limit, state=state, table=table
        )
        return measured.transactions_per_second * work.limit
