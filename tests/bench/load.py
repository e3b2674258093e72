"""
The load generator: a process of its own that keeps plain sockets busy.

It sends the same request over and over, each with a request id of its own, on
every connection as soon as the last one is answered; where it is given a report
too, that follows each claim. What the answers say is read only after the time
is up. `python -m tests.bench.load` reads a `Load` as JSON from its standard
input and writes an `Outcome` as JSON.
"""

import gc
import secrets
import selectors
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import orjson

from tests.bench.caller import ANSWER_SECONDS, Answer, Caller
from tests.bench.outcome import Outcome, outcome_of


@dataclass(frozen=True)
class Load:
    """What to send, over how many connections, for how long."""

    host: str
    port: int
    claim: str
    report: str | None
    connections: int
    warm_up_seconds: float
    seconds: float


def generate(load: Load) -> Outcome:
    """Keep the connections busy until the time is up and what was begun is done."""
    fresh = request_ids()
    callers = [
        Caller(load.host, load.port, load.claim, load.report, fresh)
        for _ in range(load.connections)
    ]
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
                if answer.came_at < ends_at or key.data.owes_a_report:
                    key.data.ask()
                else:
                    under_way -= 1
        busy_seconds = time.process_time() - busy_before
        took_seconds = time.perf_counter() - began_at
    for caller in callers:
        caller.socket.close()
    counted = [answer for answer in answers if counts_from <= answer.came_at < ends_at]
    return outcome_of(
        answers,
        counted,
        seconds=load.seconds,
        reporting=load.report is not None,
        busy_seconds=busy_seconds,
        took_seconds=took_seconds,
    )


def request_ids() -> Iterator[bytes]:
    """UUIDs that differ from each other and from those of every other process."""
    prefix = str(uuid4())[:24]
    number = secrets.randbits(40)
    while True:
        number += 1
        yield f"{prefix}{number:012x}".encode()


if __name__ == "__main__":
    # What is collected here is kept to the end anyway.
    gc.disable()
    outcome = generate(Load(**orjson.loads(sys.stdin.buffer.read())))
    sys.stdout.buffer.write(orjson.dumps(outcome))
