"""
The load generator: a process of its own that keeps plain sockets busy.

It sends the same request over and over, each with a request id of its own, on
every connection as soon as the last one is answered. What the answers say is
read only after the time is up. `python -m tests.bench.load` reads a `Load` as
JSON from its standard input and writes an `Outcome` as JSON.
"""

import secrets
import selectors
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import orjson

from tests.bench.caller import ANSWER_SECONDS, Answer, Caller


@dataclass(frozen=True)
class Load:
    """What to send, over how many connections, for how long."""

    host: str
    port: int
    request: str
    connections: int
    warm_up_seconds: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """
    What came back.

    Attributes:
        requests_per_second: Answers within the time that counts.
        runs_per_second: Runs in those answers.
        runs: All runs handed out, in the warm-up and after the time too.
        distinct_runs: How many different ones.
        failures: Answers other than 200; `failure` is the first of them.
        busy: The share of one core that the generator itself took.
    """

    requests_per_second: float
    runs_per_second: float
    p50_ms: float
    p99_ms: float
    runs: int
    distinct_runs: int
    failures: int
    failure: str | None
    busy: float


def generate(load: Load) -> Outcome:
    """Keep the connections busy until the time is up and the last answer is there."""
    fresh = request_ids()
    callers = [Caller(load.host, load.port, load.request, fresh) for _ in range(load.connections)]
    answers: list[Answer] = []
    with selectors.DefaultSelector() as selector:
        for caller in callers:
            selector.register(caller.socket, selectors.EVENT_READ, caller)
        busy_before, began_at = time.process_time(), time.perf_counter()
        counts_from = began_at + load.warm_up_seconds
        ends_at = counts_from + load.seconds
        for caller in callers:
            caller.ask()
        under_way = len(callers)
        while under_way:
            ready = selector.select(ANSWER_SECONDS)
            if not ready:
                raise TimeoutError(f"no answer within {ANSWER_SECONDS:.0f} s")
            for key, _ in ready:
                answer = key.data.hear()
                if answer is None:
                    continue
                answers.append(answer)
                if answer.came_at < ends_at:
                    key.data.ask()
                else:
                    under_way -= 1
        busy = (time.process_time() - busy_before) / (time.perf_counter() - began_at)
    for caller in callers:
        caller.socket.close()
    counted = [answer for answer in answers if counts_from <= answer.came_at < ends_at]
    return summary(answers, counted, load.seconds, busy)


def request_ids() -> Iterator[bytes]:
    """UUIDs that differ from each other and from those of every other process."""
    prefix = str(uuid4())[:24]
    number = secrets.randbits(40)
    while True:
        number += 1
        yield f"{prefix}{number:012x}".encode()


def summary(answers: list[Answer], counted: list[Answer], seconds: float, busy: float) -> Outcome:
    """Read the answers: which runs they brought, and how long they took."""
    failed = [answer for answer in answers if answer.status != 200]
    run_ids = [run_id for answer in answers for run_id in runs_in(answer)]
    took_ms = [(answer.came_at - answer.asked_at) * 1000 for answer in counted]
    cuts = (
        statistics.quantiles(took_ms, n=100, method="inclusive") if len(took_ms) > 1 else [0.0] * 99
    )
    return Outcome(
        requests_per_second=len(counted) / seconds,
        runs_per_second=sum(len(runs_in(answer)) for answer in counted) / seconds,
        p50_ms=cuts[49],
        p99_ms=cuts[98],
        runs=len(run_ids),
        distinct_runs=len(set(run_ids)),
        failures=len(failed),
        failure=failed[0].body.decode(errors="replace") if failed else None,
        busy=busy,
    )


def runs_in(answer: Answer) -> list[str]:
    """The ids of the runs that an answer hands out; a failure hands out none."""
    if answer.status != 200:
        return []
    dispatches = orjson.loads(answer.body).get("dispatches", [])
    return [dispatch["run"]["id"] for dispatch in dispatches]


if __name__ == "__main__":
    outcome = generate(Load(**orjson.loads(sys.stdin.buffer.read())))
    sys.stdout.buffer.write(orjson.dumps(outcome))
