"""Heartbeats that come late, twice and out of order: they free orphans, and nothing else."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest

from orchestrator.lifecycle import Role
from tests.chaos.honest_executor import HonestExecutor, Json, Request
from tests.chaos.size import sized
from tests.database import Database
from tests.integration.face import Face, fresh_name
from tests.ledger import check_ledgers

EPISODES = sized(8, 40)
ACTS_PER_EPISODE = 100
RUNS_PER_EPISODE = 30
AT_ONCE = 3

ANSWER_LOST = 0.3
ARRIVES_AGAIN = 0.25


@pytest.fixture
def face(database: Database) -> Iterator[Face]:
    """One orchestrator in this process; at the end every run's ledger is checked."""
    with (
        closing(psycopg.connect(database.owner_url, autocommit=True)) as owner,
        closing(Face(database, owner)) as face,
    ):
        yield face
        check_ledgers(owner)


class Air:
    """
    What is under way between one executor and the orchestrator, in no order.

    Requests arrive when they are let, some of them twice, several at once; so do
    answers, and some do not.
    """

    def __init__(self, face: Face, executor: HonestExecutor, chance: random.Random) -> None:
        self._face = face
        self._executor = executor
        self._chance = chance
        self._requests: list[Request] = []
        self._answers: list[tuple[Request, Json]] = []
        self._freed: set[str] = set()

    def send(self, request: Request) -> None:
        self._requests.append(request)

    def deliver(self, pool: ThreadPoolExecutor) -> None:
        """Let some requests arrive at the same time; their answers are under way then."""
        self._chance.shuffle(self._requests)
        arriving, self._requests = self._requests[:AT_ONCE], self._requests[AT_ONCE:]
        for request, answer in zip(arriving, pool.map(self._ask, arriving), strict=True):
            if self._chance.random() < ARRIVES_AGAIN:
                self._requests.append(request)
            if self._chance.random() >= ANSWER_LOST:
                self._answers.append((request, answer))
            if answer.get("released"):
                self._freed |= orphaned(self._face, answer["released"])
        self._require_none_freed()

    def hear(self) -> None:
        """Let one answer arrive."""
        if self._answers:
            answer = self._answers.pop(self._chance.randrange(len(self._answers)))
            self._executor.hear(*answer)
            self._require_none_freed()

    def exchange(self, request: Request) -> None:
        """Send a request, and hear its answer at once."""
        self._executor.hear(request, self._ask(request))

    def fall_silent(self) -> None:
        """Lose all that is under way."""
        self._requests.clear()
        self._answers.clear()

    def _require_none_freed(self) -> None:
        freed_wrongly = self._freed & self._executor.held.keys()
        assert not freed_wrongly, f"freed while being executed: {freed_wrongly}"

    def _ask(self, request: Request) -> Json:
        # Nobody's clock counts here: a slow machine is no outage.
        self._face.sql('UPDATE keeper SET "lastTickAt" = clock_timestamp(), "amnestySince" = NULL')
        return self._face.ask(Role.EXECUTOR, "POST", request.path, request.body)


@pytest.mark.fault("F9", "F12")
def test_heartbeats_in_any_order_free_every_orphan_and_nothing_that_is_executed(
    face: Face, seed: int
) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for episode in range(EPISODES):
            play(face, random.Random(f"{seed}/{episode}"), pool)

    ended = face.sql(
        """
        SELECT kind, count(*)::int AS events FROM "runEvents"
         WHERE kind NOT IN ('created', 'claimed', 'started') GROUP BY kind
        """
    )
    events = {row["kind"]: row["events"] for row in ended}
    assert events.keys() == {"reported", "orphaned"}
    assert events["reported"] == EPISODES * RUNS_PER_EPISODE


def play(face: Face, chance: random.Random, pool: ThreadPoolExecutor) -> None:
    """One executor claims, executes and gives up over bad air; then the air clears."""
    queue = fresh_name("air")
    runs = [{"workflow": "record", "queue": queue}] * RUNS_PER_EPISODE
    face.ask(Role.CLIENT, "POST", "/v1/runs/batch", {"runs": runs})
    executor = HonestExecutor(queue)
    air = Air(face, executor, chance)
    for _ in range(ACTS_PER_EPISODE):
        act(executor, air, chance, pool)

    air.fall_silent()
    for request_id in list(executor.claiming):
        executor.give_up(request_id)
    air.exchange(executor.beat())
    air.exchange(executor.beat())

    assert leased(face, executor.session) <= executor.held.keys()
    heir = HonestExecutor(queue)
    Air(face, heir, chance).exchange(heir.claim(RUNS_PER_EPISODE))
    for holder in (executor, heir):
        for lease_id in list(holder.held):
            Air(face, holder, chance).exchange(holder.report(lease_id))


def act(
    executor: HonestExecutor, air: Air, chance: random.Random, pool: ThreadPoolExecutor
) -> None:
    """Something happens: to the executor, or in the air."""
    held = chance.choice(list(executor.held)) if executor.held else None
    awaited = chance.choice(list(executor.claiming)) if executor.claiming else None
    match chance.choice(["claim", "repeat", "give up", "clock", *(3 * ["beat"]), "report"]):
        case "claim":
            air.send(executor.claim(chance.randint(1, 4)))
        case "repeat" if awaited:
            air.send(executor.claiming[awaited])
        case "give up" if awaited:
            executor.give_up(awaited)
        case "clock":
            executor.read_clock()
        case "beat":
            air.send(executor.beat())
        case "report" if held:
            air.send(executor.report(held))
    if chance.random() < 0.5:
        air.deliver(pool)
    for _ in range(chance.randint(0, 2)):
        air.hear()


def orphaned(face: Face, run_ids: list[str]) -> set[str]:
    """The leases of these runs that were ever freed as orphans."""
    rows = face.sql(
        """
        SELECT "leaseId"::text AS id FROM "runEvents"
         WHERE kind = 'orphaned' AND "runId" = ANY (%s::uuid[])
        """,
        run_ids,
    )
    return {row["id"] for row in rows}


def leased(face: Face, session: str) -> set[str]:
    """The leases that a session has now."""
    rows = face.sql(
        """SELECT "leaseId"::text AS id FROM "workflowRuns" WHERE "lockedSession"::text = %s""",
        session,
    )
    return {row["id"] for row in rows}
