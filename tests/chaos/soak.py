"""`make soak MINUTES=n`: steady load and a kill now and then; does anything grow, or get slow?

    python -m tests.chaos.soak --minutes 60

Prints a line for each sample, and at the end what memory, tables and p99 were at the
start, in the middle and at the end. Servers are not killed, so that their memory can
be compared; executors and backends are. It ends by itself, with 1 when the ledger
does not hold or a run was lost.
"""

from __future__ import annotations

import os
import random
import secrets
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from orchestrator.dev.embedded import EmbeddedPostgres
from tests.bench.page import Table, paper
from tests.chaos.building import site_on
from tests.chaos.fault import Fault
from tests.chaos.judgement import judge
from tests.chaos.plugin import SEED
from tests.chaos.site import MOST_STEPS, Site
from tests.chaos.soaking import Sample, Sampler
from tests.chaos.strikes import Strike, kill_backend, kill_executor
from tests.database import template_on

RUNS_PER_SECOND = 5
STEP_SECONDS = 0.1
LEASE_SECONDS = 5
EXECUTORS = 4
KILLS: tuple[Strike, ...] = (kill_executor, kill_backend)
KILL_EVERY_SECONDS = 300.0
SAMPLES = 24


@dataclass
class Soak:
    """A site under load for some minutes."""

    site: Site
    chance: random.Random
    minutes: float
    messages: Console

    def run(self) -> list[Sample]:
        """Keep the load up for so long; what was seen on the way."""
        seconds = 60 * self.minutes
        kill_every = min(KILL_EVERY_SECONDS, seconds / 6)
        sample_every = seconds / SAMPLES
        self._create()
        self.site.wait_for_work()
        sampler = Sampler(self.site)
        began_at = time.monotonic()
        next_kill, next_sample = kill_every, sample_every
        samples: list[Sample] = []
        seconds_before = 0
        while (passed := time.monotonic() - began_at) < seconds:
            if int(passed) > seconds_before:
                seconds_before = int(passed)
                self._create()
            if passed >= next_kill:
                next_kill += kill_every
                struck = self.chance.choice(KILLS)(self.site, self.chance)
                self._say(f"{passed / 60:6.1f} min  killed: {struck.kind} {struck.who}")
            if passed >= next_sample:
                next_sample += sample_every
                samples.append(sampler.take(passed))
                self._say(str(samples[-1]))
            self.site.rest(0.05)
        self.site.finish()
        return samples

    def _create(self) -> None:
        """The runs of a second."""
        lengths = [self.chance.randint(1, MOST_STEPS) for _ in range(RUNS_PER_SECOND)]
        self.site.create(lengths, step_seconds=STEP_SECONDS)

    def _say(self, line: str) -> None:
        self.messages.print(line, soft_wrap=True)


def table_of(samples: list[Sample]) -> Table:
    """The first sample, the one in the middle and the last beside each other."""
    figures = [one.figures() for one in (samples[0], samples[len(samples) // 2], samples[-1])]
    return Table(
        ("", "start", "middle", "end"),
        [(name, *(each[name] for each in figures)) for name in figures[0]],
    )


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.5), default=60, show_default=True)
def soak(minutes: float) -> None:
    """Keep everything under load for so long."""
    messages = Console(stderr=True, highlight=False)
    seed = int(os.environ.get(SEED) or secrets.randbits(32))
    messages.print(f"{minutes:g} minutes; faults are drawn by {SEED}={seed}")
    fault = Fault()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dibs-soak-")))
        postgres = stack.enter_context(EmbeddedPostgres(directory / "postgres"))
        template = stack.enter_context(template_on(postgres.owner_url, shared=False))
        site = stack.enter_context(
            site_on(
                postgres,
                template,
                directory,
                seed=seed,
                executors=EXECUTORS,
                lease_seconds=LEASE_SECONDS,
            )
        )
        samples = Soak(site, random.Random(seed), minutes, messages).run()
        judge(site, fault)
    paper().print(table_of(samples).shown())
    core = fault.figures["core"]
    paper().print(", ".join(f"{name} {value}" for name, value in core.items()))


if __name__ == "__main__":
    soak()
