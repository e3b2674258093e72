"""The bell: what brings a run to be claimed wakes those that are parked, here and elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest
from psycopg import sql

from orchestrator.desk import claim_desk
from orchestrator.desk.bell import GATHER_SECONDS
from orchestrator.desk.claim_desk import ClaimDesk
from orchestrator.desk.creates import Wanted
from orchestrator.desk.wishes import ClaimAnswer
from orchestrator.store.bell_line import BellLine
from tests.acceptance.waiting import eventually
from tests.database import Database, Template, needs_a_session
from tests.integration.dibs import Dibs
from tests.integration.face import Face, fresh_name, step
from tests.integration.statements import Statement, captured
from tests.integration.wishes import QUEUE, Executor, new_run

WAIT_SECONDS = 30.0
PLACES = 8

Act = Callable[[], object]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * PLACES) as threads:
        yield threads


@pytest.fixture
def no_lookout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by himself: whoever is woken has heard the bell."""
    monkeypatch.setattr(claim_desk, "LOOK_SECONDS", 3_600.0)
    monkeypatch.setattr(claim_desk, "LOOK_DEAF_SECONDS", 3_600.0)


@pytest.fixture
def hearing(dibs: Dibs) -> Iterator[Dibs]:
    """An orchestrator whose bell rings for others, and hears them."""
    with listening(dibs):
        yield dibs


@pytest.fixture
def neighbour(database: Database, owner: psycopg.Connection) -> Iterator[Dibs]:
    """Another process of the same orchestrator."""
    with closing(Dibs(database.service_url, owner)) as neighbour, listening(neighbour):
        yield neighbour


@contextmanager
def listening(dibs: Dibs) -> Iterator[None]:
    """Start the bell of a process, as the server does."""
    needs_a_session("LISTEN")
    dibs.desk = ClaimDesk(
        dibs.database,
        dibs.signs,
        dibs.points,
        parked_limit=PLACES,
        draining=dibs.draining,
        hears_others=lambda: dibs.bell.hears_others,
    )
    dibs.bell.hear = dibs.desk.ring
    dibs.bell.start()
    try:
        eventually(lambda: dibs.bell.hears_others)
        yield
    finally:
        dibs.draining.set()
        dibs.bell.stop()


def park(
    threads: ThreadPoolExecutor, dibs: Dibs, executor: Executor, **changes: Any
) -> Future[ClaimAnswer]:
    """A claim that has found nothing and waits."""
    parked = dibs.desk.parked
    claim = threads.submit(dibs.claim, executor, **{"wait_seconds": WAIT_SECONDS, **changes})
    eventually(lambda: dibs.desk.parked > parked or claim.done(), what="it is parked")
    assert not claim.done()
    return claim


def run_ids(answer: ClaimAnswer) -> list[UUID]:
    return [dispatch.run.id for dispatch in answer.dispatches]


def looks(statements: list[Statement]) -> int:
    return sum("'out-of-service'" in statement.text for statement in statements)


# What brings a run to be claimed. Each prepares it, and gives the act and the run.


def creating(dibs: Dibs, _: Executor) -> tuple[Act, UUID | None]:
    return dibs.pending, None


def creating_a_batch(dibs: Dibs, _: Executor) -> tuple[Act, UUID | None]:
    batch = [Wanted(new_run(queue=queue), return_active=False) for queue in (QUEUE, "other")]
    return partial(dibs.creates.create, batch), batch[0].run.id


def releasing(dibs: Dibs, holder: Executor) -> tuple[Act, UUID | None]:
    held = dibs.dispatch(holder)
    return partial(dibs.release, holder, held), held.run.id


def freeing_an_orphan(dibs: Dibs, holder: Executor) -> tuple[Act, UUID | None]:
    held = dibs.dispatch(holder)
    return partial(dibs.reconcile, holder, as_of=dibs.now()), held.run.id


def expiring(dibs: Dibs, holder: Executor) -> tuple[Act, UUID | None]:
    held = dibs.dispatch(holder)
    dibs.expire(held.run.id)
    return dibs.tick, held.run.id


def falling_due(dibs: Dibs, holder: Executor) -> tuple[Act, UUID | None]:
    held = dibs.dispatch(holder)
    dibs.tell(held, holder, "error", message="no")
    dibs.make_due(held.run.id)
    return dibs.tick, held.run.id


def retrying(dibs: Dibs, holder: Executor) -> tuple[Act, UUID | None]:
    held = dibs.dispatch(holder)
    dibs.tell(held, holder, "error", message="no", retryable=False)
    return partial(dibs.retry, held.run.id), held.run.id


def resuming(dibs: Dibs, holder: Executor) -> tuple[Act, UUID | None]:
    held = dibs.dispatch(holder)
    dibs.tell(held, holder, "awaiting-input", waiting_for='{"reason": "input"}')
    return partial(dibs.resume, held.run.id), held.run.id


def resolving(dibs: Dibs, holder: Executor) -> tuple[Act, UUID | None]:
    begun = dibs.begun(holder)
    dibs.tell(begun, holder, "unknown", message="it hung up")
    return partial(dibs.resolve, begun.run.id, "run-again"), begun.run.id


WAYS = [
    creating,
    creating_a_batch,
    releasing,
    freeing_an_orphan,
    expiring,
    falling_due,
    retrying,
    resuming,
    resolving,
]


@pytest.fixture(params=["here", "elsewhere"])
def made_and_parked_at(request: pytest.FixtureRequest, dibs: Dibs) -> tuple[Dibs, Dibs]:
    """Who brings runs and who claims them: one process, whose bell rings for it alone, or two."""
    if request.param == "here":
        return dibs, dibs
    return request.getfixturevalue("hearing"), request.getfixturevalue("neighbour")


@pytest.mark.usefixtures("no_lookout")
@pytest.mark.parametrize("way", WAYS)
def test_what_brings_a_run_wakes_whoever_is_parked(
    made_and_parked_at: tuple[Dibs, Dibs],
    executor: Executor,
    other: Executor,
    threads: ThreadPoolExecutor,
    way: Callable[[Dibs, Executor], tuple[Act, UUID | None]],
) -> None:
    made_at, parked_at = made_and_parked_at
    act, run_id = way(made_at, other)
    parked = park(threads, parked_at, executor)

    act()
    answer = parked.result(WAIT_SECONDS)

    assert len(answer.dispatches) == 1
    assert run_id in (None, run_ids(answer)[0])


@contextmanager
def parked_on(face: Face, queue: str) -> Iterator[Future[list[Any]]]:
    """A claim by HTTP that waits, of a process of its own."""
    desk = face.services.claim_desk
    with ThreadPoolExecutor(1) as thread:
        claim = thread.submit(
            face.claim,
            queue,
            waitSeconds=int(WAIT_SECONDS),
            session=str(uuid4()),
            executor="parked",
        )
        eventually(lambda: desk.parked or claim.done())
        assert not claim.done()
        yield claim


@pytest.mark.usefixtures("no_lookout")
def test_limits_that_are_put_wake_whoever_waits_for_the_queue(face: Face) -> None:
    first, second = (face.create("refund", queue="narrow") for _ in range(2))
    face.limit("narrow", maxConcurrency=1)
    assert [each["run"]["id"] for each in face.claim("narrow")] == [first["id"]]

    with parked_on(face, "narrow") as claim:
        face.limit("narrow", maxConcurrency=2)
        (dispatch,) = claim.result(WAIT_SECONDS)

    assert dispatch["run"]["id"] == second["id"]


@pytest.mark.usefixtures("no_lookout")
def test_a_queue_that_is_resumed_wakes_whoever_waits_for_it(face: Face) -> None:
    run = face.create("refund")
    face.pause(run["queue"])
    with parked_on(face, run["queue"]) as claim:
        face.pause(run["queue"], paused=False)

        assert [each["run"]["id"] for each in claim.result(WAIT_SECONDS)] == [run["id"]]


@pytest.mark.usefixtures("no_lookout")
def test_a_step_that_leaves_its_run_to_be_claimed_wakes_whoever_waits(
    face: Face, chain: str
) -> None:
    dispatch = face.dispatch(chain)
    with parked_on(face, dispatch["run"]["queue"]) as claim:
        assert face.succeed(dispatch, chain=False)["status"] == "pending"

        assert [each["step"]["name"] for each in claim.result(WAIT_SECONDS)] == ["b"]


@pytest.mark.usefixtures("no_lookout")
def test_a_step_of_another_queue_wakes_whoever_waits_for_that(face: Face) -> None:
    queue = fresh_name("queue")
    dispatch = face.dispatch(face.define(step("a", "b"), step("b", queue=queue)))
    with parked_on(face, queue) as claim:
        face.succeed(dispatch)

        assert [each["step"]["name"] for each in claim.result(WAIT_SECONDS)] == ["b"]


@pytest.mark.usefixtures("no_lookout")
def test_a_process_that_replaces_another_wakes_whoever_waits_for_its_runs(face: Face) -> None:
    dispatch = face.hold(face.create("refund")["id"], executor="one")
    with parked_on(face, dispatch["run"]["queue"]) as claim:
        face.register(session=str(uuid4()), replaces="others")

        assert [each["run"]["id"] for each in claim.result(WAIT_SECONDS)] == [dispatch["run"]["id"]]


@pytest.mark.usefixtures("no_lookout")
def test_each_of_several_runs_wakes_one_wherever_it_is_parked(
    hearing: Dibs, neighbour: Dibs, threads: ThreadPoolExecutor
) -> None:
    parked = [
        park(threads, one, Executor(f"fleet:{number}"))
        for number, one in enumerate([hearing, hearing, neighbour, neighbour])
    ]

    made = {hearing.pending().id for _ in range(4)}
    got = [run_ids(claim.result(WAIT_SECONDS)) for claim in parked]

    assert {run_id for runs in got for run_id in runs} == made
    assert [len(runs) for runs in got] == [1] * 4


@pytest.mark.usefixtures("no_lookout")
def test_others_are_told_after_the_commit_over_a_connection_of_its_own(
    hearing: Dibs, owner: psycopg.Connection, database: Database
) -> None:
    pools = [hearing.database.work, hearing.database.leases, hearing.database.access]
    with psycopg.connect(database.owner_url, autocommit=True) as listener, ExitStack() as stack:
        listener.execute("LISTEN dibs_bell")
        sent = [stack.enter_context(captured(pool)) for pool in pools]
        run = hearing.pending()

        (told,) = listener.notifies(timeout=WAIT_SECONDS, stop_after=1)

    assert orjson.loads(told.payload) == {QUEUE: 1}
    assert hearing.state(run.id) == "pending"
    teller = hearing.sql("SELECT application_name FROM pg_stat_activity WHERE pid = %s", told.pid)
    assert teller == [{"application_name": "dibs-bell"}]
    assert not [each for pool in sent for each in pool if "notify" in each.text.lower()]


def test_what_somebody_here_waits_for_is_told_to_nobody_else(
    hearing: Dibs, executor: Executor, database: Database, threads: ThreadPoolExecutor
) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as listener:
        listener.execute("LISTEN dibs_bell")
        parked = park(threads, hearing, executor)
        hearing.pending()
        parked.result(WAIT_SECONDS)
        hearing.pending(queue="the-end")

        (told,) = listener.notifies(timeout=WAIT_SECONDS, stop_after=1)

    assert orjson.loads(told.payload) == {"the-end": 1}


def test_a_burst_is_told_in_few_messages_that_say_it_all(hearing: Dibs, database: Database) -> None:
    rings = 2_000
    with psycopg.connect(database.owner_url, autocommit=True) as listener:
        listener.execute("LISTEN dibs_bell")
        began = time.monotonic()
        for number in range(rings):
            hearing.bell.ring({f"q{number % 3}": 1})
        told: list[dict[str, int]] = []
        while sum(sum(message.values()) for message in told) < rings:
            # One at least: what has arrived together is given together.
            heard = listener.notifies(timeout=WAIT_SECONDS, stop_after=1)
            told += [orjson.loads(notification.payload) for notification in heard]
        took_seconds = time.monotonic() - began

    assert {queue for message in told for queue in message} == {"q0", "q1", "q2"}
    assert sum(sum(message.values()) for message in told) == rings
    # The first goes at once, each other one a pause later.
    assert len(told) <= 1 + took_seconds / GATHER_SECONDS


def test_what_comes_while_telling_is_heard(database: Database) -> None:
    """The answer to a NOTIFY brings what others told meanwhile: nothing more arrives to wake."""
    needs_a_session("LISTEN")
    with BellLine(database.service_url) as line, BellLine(database.service_url) as others:
        others.tell({"theirs": 1})
        line.tell({"ours": 1})

        assert list(line.told()) == [{"theirs": 1}]


@pytest.mark.usefixtures("no_lookout")
def test_a_ring_that_arrives_while_one_is_told_is_not_left_lying(
    hearing: Dibs, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[dict[str, int]] = []
    hearing.bell.hear = lambda arrived: heard.append(dict(arrived)) or arrived
    tell = BellLine.tell

    with BellLine(database.service_url) as others:

        def tell_late(line: BellLine, arrived: Any) -> None:
            tell(others, {"theirs": 1})
            tell(line, arrived)

        monkeypatch.setattr(BellLine, "tell", tell_late)
        hearing.bell.ring({"ours": 1})

        eventually(lambda: {"theirs": 1} in heard, within_seconds=5)


def test_what_others_say_that_is_no_ring_is_passed_over(
    hearing: Dibs, owner: psycopg.Connection
) -> None:
    heard: list[dict[str, int]] = []
    hearing.bell.hear = lambda arrived: heard.append(dict(arrived)) or arrived
    line = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'dibs-bell'"
    )
    before = hearing.sql(line)
    for words in (
        "",
        "no json",
        "[1]",
        '{"default": "many"}',
        '{"default": null}',
        '{"of-runs": 1}',
    ):
        owner.execute("SELECT pg_notify('dibs_bell', %s)", [words])

    eventually(lambda: heard)
    assert heard == [{"of-runs": 1}]
    assert (hearing.sql(line), hearing.bell.hears_others) == (before, True)


def test_what_is_untold_when_the_bell_stops_is_told_first(
    hearing: Dibs, database: Database
) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as listener:
        listener.execute("LISTEN dibs_bell")
        # The second is held back for a while after the first.
        for queue in ("first", "second"):
            hearing.bell.ring({queue: 1})
        hearing.bell.stop()
        told = listener.notifies(timeout=WAIT_SECONDS, stop_after=2)
        queues = [queue for each in told for queue in orjson.loads(each.payload)]

    assert queues == ["first", "second"]


def test_a_bell_that_stops_while_it_is_rung_is_heard_here_and_fails_nobody(
    hearing: Dibs, threads: ThreadPoolExecutor, database: Database
) -> None:
    heard: list[dict[str, int]] = []
    hearing.bell.hear = lambda arrived: heard.append(dict(arrived)) or arrived
    with hearing.bell._lock:
        stopping = threads.submit(hearing.bell.stop)
        eventually(lambda: hearing.bell._stopping)
        # Somebody else's ring lets the bell's thread see it: nobody will read its wakes.
        with BellLine(database.service_url) as others:
            others.tell({"theirs": 1})
            eventually(lambda: not hearing.bell._thread.is_alive())
        ringing = threads.submit(hearing.bell.ring, {"ours": 1})
        eventually(lambda: {"ours": 1} in heard)

    stopping.result(WAIT_SECONDS)
    ringing.result(WAIT_SECONDS)
    hearing.bell.ring({"late": 1})
    assert heard == [{"theirs": 1}, {"ours": 1}, {"late": 1}]


@contextmanager
def line_cut(template: Template, owner: psycopg.Connection) -> Iterator[None]:
    """Cut every line of this database, and let nobody connect again."""
    name = owner.info.dbname

    def allow(word: str) -> None:
        with psycopg.connect(template.owner_url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}").format(
                    sql.Identifier(name), sql.SQL(word)
                )
            )

    allow("false")
    try:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'dibs-bell'"
        )
        yield
    finally:
        allow("true")


def test_while_the_line_is_cut_the_lookout_finds_what_others_made_and_it_is_mended(
    hearing: Dibs,
    neighbour: Dibs,
    executor: Executor,
    owner: psycopg.Connection,
    template: Template,
    threads: ThreadPoolExecutor,
) -> None:
    # Their connections are open before nobody may connect.
    hearing.claim(executor)
    neighbour.claim(executor)
    with line_cut(template, owner):
        eventually(lambda: not (hearing.bell.hears_others or neighbour.bell.hears_others))
        parked = park(threads, neighbour, executor)
        run = hearing.pending()

        assert run_ids(parked.result(WAIT_SECONDS)) == [run.id]
        assert not neighbour.bell.hears_others
    eventually(lambda: hearing.bell.hears_others and neighbour.bell.hears_others)


@pytest.mark.usefixtures("no_lookout")
def test_what_rang_while_the_line_was_cut_is_told_when_it_is_mended(
    hearing: Dibs,
    neighbour: Dibs,
    executor: Executor,
    owner: psycopg.Connection,
    template: Template,
    threads: ThreadPoolExecutor,
) -> None:
    hearing.pending(queue="warms-up")
    parked = park(threads, neighbour, executor)
    with line_cut(template, owner):
        eventually(lambda: not (hearing.bell.hears_others or neighbour.bell.hears_others))
        hearing.bell.ring({"other": 1})
        assert not parked.done()
    eventually(lambda: hearing.bell.hears_others and neighbour.bell.hears_others)
    run = hearing.pending()

    assert run_ids(parked.result(WAIT_SECONDS)) == [run.id]


def test_all_that_are_parked_cost_one_look_together_and_nothing_else(
    hearing: Dibs, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim_desk, "LOOK_SECONDS", 0.2)
    parked = [park(threads, hearing, Executor(f"fleet:{n}")) for n in range(PLACES)]
    pools = [hearing.database.work, hearing.database.leases, hearing.database.access]
    with ExitStack() as stack:
        sent = [stack.enter_context(captured(pool)) for pool in pools]
        eventually(lambda: looks(sent[0]) >= 5)
        for claim in parked:
            assert not claim.done()
        statements = [each for pool in sent for each in pool]
        hearing.draining.set()
        for claim in parked:
            claim.result(WAIT_SECONDS)

    assert looks(statements) == len(statements)


@pytest.mark.usefixtures("no_lookout")
def test_of_an_empty_queue_that_nobody_rang_for_a_second_claim_asks_nothing(
    hearing: Dibs, executor: Executor, other: Executor, threads: ThreadPoolExecutor
) -> None:
    first = park(threads, hearing, executor)
    with captured(hearing.database.work) as statements:
        second = park(threads, hearing, other)

        assert statements == []
        runs = {hearing.pending().id, hearing.pending().id}
        got = run_ids(first.result(WAIT_SECONDS)) + run_ids(second.result(WAIT_SECONDS))
    assert set(got) == runs


@pytest.mark.usefixtures("no_lookout")
def test_a_claim_of_a_queue_that_nobody_looked_at_looks_before_it_waits(
    hearing: Dibs, executor: Executor
) -> None:
    run = hearing.pending()

    assert run_ids(hearing.claim(executor, wait_seconds=2.0)) == [run.id]


@pytest.mark.usefixtures("no_lookout")
def test_a_repeat_is_never_parked_unasked(
    hearing: Dibs, executor: Executor, other: Executor, threads: ThreadPoolExecutor
) -> None:
    request_id = uuid4()
    run = hearing.pending()
    hearing.claim(executor, request_id=request_id)
    park_here = park(threads, hearing, other)

    again = hearing.claim(executor, request_id=request_id, wait_seconds=WAIT_SECONDS)

    assert (again.replayed, run_ids(again)) == (True, [run.id])
    assert not park_here.done()
    hearing.draining.set()


@pytest.mark.usefixtures("no_lookout")
def test_a_claim_that_waits_here_hears_the_others_before_it_trusts_an_empty_look(
    dibs: Dibs, executor: Executor, other: Executor, threads: ThreadPoolExecutor
) -> None:
    """This process hears nobody: what it found empty may not be so any more."""
    parked = park(threads, dibs, executor)
    with captured(dibs.database.work) as statements:
        second = park(threads, dibs, other)
        looked = len(statements)
    dibs.draining.set()

    assert looked > 0
    # The lookout is asleep for an hour; who drains a process wakes it.
    assert [parked.result(WAIT_SECONDS).dispatches, second.result(WAIT_SECONDS).dispatches] == [
        (),
        (),
    ]


@pytest.mark.usefixtures("no_lookout")
def test_a_process_that_drains_answers_all_that_are_parked_and_parks_nobody(
    hearing: Dibs, threads: ThreadPoolExecutor
) -> None:
    parked = [park(threads, hearing, Executor(f"fleet:{n}")) for n in range(PLACES)]

    hearing.draining.set()
    answers = [claim.result(WAIT_SECONDS) for claim in parked]

    assert [(answer.dispatches, answer.next_poll_after_ms) for answer in answers] == [((), 0)] * 8
    assert hearing.desk.parked == 0
    late = hearing.claim(Executor("fleet:late"), wait_seconds=3_600)
    assert (late.dispatches, late.next_poll_after_ms) == ((), 0)


@pytest.mark.usefixtures("no_lookout")
def test_when_all_places_are_taken_a_claim_is_answered_at_once(
    hearing: Dibs, threads: ThreadPoolExecutor
) -> None:
    parked = [park(threads, hearing, Executor(f"fleet:{n}")) for n in range(PLACES)]

    turned_away = hearing.claim(Executor("fleet:late"), wait_seconds=3_600)

    assert turned_away.dispatches == ()
    assert turned_away.next_poll_after_ms > 0
    assert [claim.done() for claim in parked] == [False] * PLACES
    assert hearing.desk.parked == PLACES
    hearing.draining.set()


@pytest.mark.usefixtures("no_lookout")
def test_threads_do_not_grow_with_what_is_parked(
    hearing: Dibs, threads: ThreadPoolExecutor
) -> None:
    """Those that wait are the requests' own; beside them there is one lookout."""
    park(threads, hearing, Executor("fleet:0"))
    before = threading.active_count()
    for number in range(1, PLACES):
        park(threads, hearing, Executor(f"fleet:{number}"))

    assert threading.active_count() <= before + PLACES - 1
    hearing.draining.set()
