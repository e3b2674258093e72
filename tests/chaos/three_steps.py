"""Runs of three steps over a faulty network: how they are made, and what became of them."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg

from orchestrator.lifecycle import Role
from tests.acceptance.client import Json
from tests.acceptance.stage import Stage
from tests.chaos.fates import route_of
from tests.chaos.history import Exchange
from tests.chaos.network import Network
from tests.chaos.repeating import RepeatingClient

STEPS = ("first", "second", "third")
RUNS_PER_BATCH = 100
# Thirty of a hundred answers are lost, and each repeat makes a busy machine busier.
ANSWERED_WITHIN_SECONDS = 120.0


def define(network: Network, stage: Stage) -> None:
    """The workflow of three steps, put through the network like all else."""
    following = [*STEPS[1:], None]
    steps = [
        {"name": name, "type": "record", "next": [after] if after else []}
        for name, after in zip(STEPS, following, strict=True)
    ]
    with closing(RepeatingClient(network.url, stage.tokens[Role.OPERATOR])) as operator:
        operator.ask("PUT", "/v1/workflows/three", {"steps": steps})


def create(network: Network, stage: Stage, queue: str, count: int) -> list[str]:
    """New runs, a tenth of them one by one and the others in batches; their ids."""
    run = {"workflow": "three", "queue": queue}
    singly = count // 10

    def create_one(number: int) -> list[str]:
        created = client.ask("POST", "/v1/runs", run, {"Idempotency-Key": f"one-{number}"})
        return [created["id"]]

    def create_batch(start: int) -> list[str]:
        numbers = range(start, min(start + RUNS_PER_BATCH, count))
        body = {"runs": [{**run, "idempotencyKey": f"batch-{number}"} for number in numbers]}
        return [one["id"] for one in client.ask("POST", "/v1/runs/batch", body)["runs"]]

    with (
        closing(
            RepeatingClient(
                network.url, stage.tokens[Role.CLIENT], patience_seconds=ANSWERED_WITHIN_SECONDS
            )
        ) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        one_by_one = pool.map(create_one, range(singly))
        in_batches = pool.map(create_batch, range(singly, count, RUNS_PER_BATCH))
        return [run_id for created in (*one_by_one, *in_batches) for run_id in created]


def steps_of(run_ids: Iterable[str]) -> set[str]:
    """The idempotency keys of every step of these runs."""
    return {f"{run_id}:{index}" for run_id in run_ids for index in range(len(STEPS))}


def finished(owner: psycopg.Connection[Any]) -> int:
    """How many runs are finished."""
    found = owner.execute("""SELECT FROM "workflowRuns" WHERE "runState" = 'finished'""")
    return found.rowcount


def stored_results(owner: psycopg.Connection[Any]) -> set[str]:
    """The idempotency keys of the steps whose result is stored."""
    rows = owner.execute(
        """SELECT "runId"::text || ':' || "stepIndex" FROM "workflowSteps" WHERE output ? 'by'"""
    )
    return {row[0] for row in rows}


def kinds(owner: psycopg.Connection[Any]) -> dict[str, int]:
    """How many events of each kind there are, but for the confirmations of renewals."""
    rows = owner.execute(
        """SELECT kind, count(*) FROM "runEvents" WHERE kind <> 'started' GROUP BY kind"""
    )
    return dict(rows.fetchall())


def refusals(exchanges: Iterable[Exchange]) -> list[Exchange]:
    """Everything that anybody was refused, whether it was heard or not."""
    return [one for one in exchanges if one.result == "refused" or any(map(refuses, said_to(one)))]


def said_to(exchange: Exchange) -> list[Json]:
    """All answers to a request."""
    return [answer for answer in (exchange.answer, *exchange.unheard) if answer]


def refuses(answer: Json) -> bool:
    """Whether a report of these was not taken as its lease's own."""
    return any(result["problem"] for result in answer.get("results", ()))


def by_route(exchanges: Iterable[Exchange]) -> dict[str, list[Exchange]]:
    """The requests of each route."""
    found: dict[str, list[Exchange]] = {}
    for one in exchanges:
        found.setdefault(route_of(*one.op.split(" ", 1)), []).append(one)
    return found


def lost_share(asked: list[Exchange]) -> float:
    """How many of these were not answered, from 0 to 1."""
    return sum(one.status is None for one in asked) / len(asked)


def summary(exchanges: Iterable[Exchange]) -> str:
    """What the network did, a line for each route."""
    return "\n".join(
        f"{len(asked)} × {route}, {lost_share(asked):.0%} not answered"
        for route, asked in by_route(exchanges).items()
    )
