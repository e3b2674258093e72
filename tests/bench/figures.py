"""The figures that are rates: what the product does, and what pgbench does with the same work."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.bench import backlog, bare, ours
from tests.bench.claims import claim_all_the_time, cycle_all_the_time
from tests.bench.drain import EXECUTOR_PROCESSES, drain
from tests.bench.outcome import Outcome
from tests.bench.pgbench import Script
from tests.bench.processor_time import ProcessorTime, ended_children_seconds
from tests.bench.sample import Sample
from tests.bench.sizes import Sizes
from tests.bench.stage import Stage
from tests.bench.targets import BATCH_CLAIMS, DRAIN, SINGLE_CLAIMS, SINGLE_CYCLES, Target

# The sides: the product over HTTP, its own statements in pgbench, the bare claim in pgbench.
PRODUCT, OURS, BARE = "product", "ours", "bare"
# Whose processor time is counted beside what the stage runs all the time.
GENERATOR, PGBENCH = "generator", "pgbench"
# What the desks claim while they are listened to.
LISTENED_RUNS = 100


@dataclass(frozen=True)
class Figure:
    """
    One row of the table: a sampler for each side.

    Attributes:
        key: What `--only` calls it.
        target: What the product's rate must reach, as a multiple of `OURS`.
    """

    key: str
    name: str
    target: Target
    sides: Mapping[str, Callable[[], Sample]]


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
        outcomes: What the load generator said, sample by sample, by figure.
    """

    stage: Stage
    sizes: Sizes
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)

    def all(self) -> list[Figure]:
        single = Work(clients=16, limit=1, runs=self.sizes.single_backlog)
        batch = Work(clients=4, limit=50, runs=self.sizes.batch_backlog)
        drained = self.sizes.drained_runs
        return [
            Figure(
                "claims",
                "single claims, 16 clients",
                SINGLE_CLAIMS,
                {
                    PRODUCT: lambda: self._claims("claims", single),
                    OURS: lambda: self._ours(single, ours.claim_script, "loading"),
                    BARE: lambda: self._bare(single, bare.claim_script, "loading"),
                },
            ),
            Figure(
                "cycles",
                "claim and report, 16 clients",
                SINGLE_CYCLES,
                {
                    PRODUCT: lambda: self._cycles("cycles", single),
                    OURS: lambda: self._ours(single, ours.cycle_script, "finished"),
                    BARE: lambda: self._bare(single, bare.cycle_script, "finished"),
                },
            ),
            Figure(
                "batches",
                "claims of 50, 4 clients",
                BATCH_CLAIMS,
                {
                    PRODUCT: lambda: self._claims("batches", batch),
                    OURS: lambda: self._ours(batch, ours.claim_script, "loading"),
                    BARE: lambda: self._bare(batch, bare.claim_script, "loading"),
                },
            ),
            Figure(
                "drain",
                f"drain of {drained:,} runs, {EXECUTOR_PROCESSES} executors",
                DRAIN,
                {
                    PRODUCT: lambda: Sample(*drain(self.stage, drained)),
                    OURS: lambda: self._ours(batch, ours.cycle_script, "finished"),
                    BARE: lambda: self._bare(batch, bare.cycle_script, "finished"),
                },
            ),
        ]

    def _claims(self, key: str, work: Work) -> Sample:
        return self._product(
            key,
            work,
            lambda: claim_all_the_time(
                self.stage, clients=work.clients, limit=work.limit, seconds=self.sizes.load_seconds
            ),
        )

    def _cycles(self, key: str, work: Work) -> Sample:
        return self._product(
            key,
            work,
            lambda: cycle_all_the_time(
                self.stage, clients=work.clients, seconds=self.sizes.load_seconds
            ),
        )

    def _product(self, key: str, work: Work, load: Callable[[], Outcome]) -> Sample:
        backlog.fill(self.stage.owner, work.runs)
        taken = ProcessorTime(self.stage.programs)
        outcome = load()
        self.outcomes.setdefault(key, []).append(outcome)
        cpu_ms = taken.ms_per_run(outcome.runs)
        if cpu_ms:
            cpu_ms[GENERATOR] = outcome.busy_seconds * 1000 / outcome.runs
        return Sample(outcome.runs_per_second, cpu_ms)

    def _ours(self, work: Work, script_for: Callable[[str, int], Script], state: str) -> Sample:
        backlog.fill(self.stage.owner, LISTENED_RUNS)
        script = script_for(self.stage.service_url, work.limit)
        return self._pgbench(work, script, backlog.RUNS, state)

    def _bare(self, work: Work, script_for: Callable[[int], Script], state: str) -> Sample:
        return self._pgbench(work, script_for(work.limit), bare.TABLE, state)

    def _pgbench(self, work: Work, script: Script, table: str, state: str) -> Sample:
        """Run the script on a new backlog; its runs must be in this state afterwards."""
        cycles = self.sizes.pgbench_cycles
        # One more than the cycles take: a backlog that ran dry is worth nothing.
        runs = work.clients * work.limit * cycles + 1 if cycles else work.runs
        backlog.fill(self.stage.owner, runs, table=table)
        taken, before = ProcessorTime(self.stage.programs), ended_children_seconds()
        measured = self.stage.pgbench.run(
            script,
            connections=work.clients,
            seconds=self.sizes.load_seconds,
            cycles=cycles,
        )
        done = measured.transactions * work.limit
        cpu_ms = taken.ms_per_run(done)
        if cpu_ms:
            cpu_ms[PGBENCH] = (ended_children_seconds() - before) * 1000 / done
        backlog.check(self.stage.owner, done, state=state, table=table)
        return Sample(measured.transactions_per_second * work.limit, cpu_ms)
