"""Another queue on Postgres: how it is filled, how it works, and how fast it drains."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from tests.bench.failure import BenchError
from tests.bench.processor_time import ProcessorTime
from tests.bench.sample import Sample

PROCESSES = 2
FILL_SECONDS = 120.0
DRAIN_SECONDS = 120.0
END_SECONDS = 15.0
LOOK_SECONDS = 0.02
URL = "BENCH_URL"
READY = "ready\n"


@dataclass(frozen=True)
class Setting:
    """What its workers are told, and how people read it."""

    arguments: tuple[int, ...]
    text: str


@dataclass(frozen=True)
class Peer:
    """
    One other queue, installed in a folder of its own.

    Attributes:
        versions: What was installed.
        options: What holds for every setting.
        settings: Those that are tried; the fastest is measured.
        command: Runs its program, in `folder`.
        table: Holds its jobs, and is empty when all are done.
    """

    name: str
    versions: str
    options: str
    settings: Sequence[Setting]
    folder: Path
    command: Sequence[str]
    table: tuple[str, ...]

    def drain(
        self,
        owner: psycopg.Connection,
        url: str,
        jobs: int,
        setting: Setting,
        programs: Mapping[str, Sequence[int]],
    ) -> Sample:
        """
        Let two processes that wait already execute so many jobs that do nothing.

        Returns:
            Jobs per second, from the first job's beginning until no job is left.

        Raises:
            BenchError: It takes for ever, or a job was not executed exactly once.
        """
        self._run(url, "fill", jobs)
        owner.execute("VACUUM (ANALYZE)")
        owner.execute("CHECKPOINT")
        if self._left(owner) != jobs:
            raise BenchError(f"{self.name} holds {self._left(owner)} of {jobs} jobs")
        with self._workers(url, setting) as workers:
            taken = ProcessorTime({**programs, self.name: [one.pid for one in workers]})
            for worker in workers:
                print("go", file=worker.stdin, flush=True)
            self._wait_until_empty(owner)
            ended_at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            cpu_ms = taken.ms_per_run(jobs)
            said = [self._end(worker) for worker in workers]
        executed = [count for count, _ in said]
        if sum(executed) != jobs:
            raise BenchError(f"{self.name} executed {executed} of {jobs} jobs")
        began_at = min(began_at for count, began_at in said if count)
        return Sample(jobs / ((ended_at - began_at) / 1e9), cpu_ms)

    def _run(self, url: str, *words: object) -> None:
        ended = subprocess.run(
            [*self.command, *map(str, words)],
            cwd=self.folder,
            env={**os.environ, URL: url},
            capture_output=True,
            text=True,
            check=False,
            timeout=FILL_SECONDS,
            start_new_session=True,
        )
        if ended.returncode:
            raise BenchError(f"{self.name} failed: {(ended.stderr or ended.stdout)[-2_000:]}")

    @contextmanager
    def _workers(self, url: str, setting: Setting) -> Iterator[list["subprocess.Popen[str]"]]:
        workers = [
            subprocess.Popen(
                [*self.command, "work", *map(str, setting.arguments)],
                cwd=self.folder,
                env={**os.environ, URL: url},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            for _ in range(PROCESSES)
        ]
        try:
            for worker in workers:
                if worker.stdout is None or worker.stdout.readline() != READY:
                    raise BenchError(f"{self.name} did not start")
            yield workers
        finally:
            for worker in workers:
                if worker.poll() is None:
                    worker.kill()
                worker.communicate()

    def _wait_until_empty(self, owner: psycopg.Connection) -> None:
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._left(owner, at_most=1):
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} is not done after {DRAIN_SECONDS:.0f} s")
            time.sleep(LOOK_SECONDS)

    def _left(self, owner: psycopg.Connection, *, at_most: int | None = None) -> int:
        row = owner.execute(
            sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT %s) AS jobs").format(
                sql.Identifier(*self.table)
            ),
            [at_most],
        ).fetchone()
        return row[0] if row else 0

    def _end(self, worker: "subprocess.Popen[str]") -> tuple[int, int]:
        """How many jobs it executed, and when the first began."""
        said, _ = worker.communicate(timeout=END_SECONDS)
        if worker.returncode:
            raise BenchError(f"{self.name} ended with {worker.returncode}")
        executed, began_at = said.split()
        return int(executed), int(began_at)
