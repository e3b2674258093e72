"""`make soak MINUTES=n`: steady load and a kill now and then; does anything grow, or get slow?

    python -m tests.chaos.soak --minutes 60

Prints a line for each sample, and at the end what memory, tables and p99 were at the
start, in the middle and at the end. It ends by itself, with 1 when the ledger does not
hold or a run was lost.
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
from tests.chaos.strikes import Strike, kill_backend, kill_executor, kill_worker
from tests.database import template_on

RUNS_PER_SECOND = 5
STEP_SECONDS = 0.1
LEASE_SECONDS = 5
EXECUTORS = 4
KILLS: tuple[Strike, ...] = (kill_executor, kill_worker, kill_backend)
KILL_EVERY_SECONDS = 300.0
SAMPLES = 24
HEADINGS = ("", "start", "middle", "end")


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
        sampler = Sampler(self.site)
        began_at = time.monotonic()
        next_kill, next_sample = kill_every, sample_every
        samples: list[Sample] = []
        seconds_before = 0
        while (passed := time.monotonic() - began_at) < seconds:
            if int(passed) > seconds_before:
                seconds_before = int(passed)
                lengths = [self.chance.randint(1, MOST_STEPS) for _ in range(RUNS_PER_SECOND)]
                self.site.create(lengths, step_seconds=STEP_SECONDS)
            if passed >= next_kill:
                next_kill += kill_every
                struck = self.chance.choice(KILLS)(self.site, self.chance)
                self.messages.print(f"{passed / 60:6.1f} min  killed: {struck.kind} {struck.who}")
            if passed >= next_sample:
                next_sample += sample_every
                samples.append(sampler.take(passed))
                self.messages.print(str(samples[-1]))
            self.site.rest(0.05)
        self.site.finish()
        return samples


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
    shown = [samples[0], samples[len(samples) // 2], samples[-1]]
    figures = [each.figures() for each in shown]
    rows = [(name, *(each[name] for each in figures)) for name in figures[0]]
    paper().print(Table(HEADINGS, rows).shown())
    core = fault.figures["core"]
    paper().print(", ".join(f"{name} {value}" for name, value in core.items()))


if __name__ == "__main__":
    soak()
