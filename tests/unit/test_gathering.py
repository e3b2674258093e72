"""Gathering: who serves whom, and what becomes of every wish."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter as Counted
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from orchestrator.desk.gathering import ALONE, COMMITS_AT_ONCE, Alone, Gathering, Ticket
from orchestrator.errors import OutcomeUnknown, Overloaded, Unavailable
from orchestrator.store import patience
from orchestrator.store.patience import new_patience
from tests.acceptance.waiting import eventually

WAIT_SECONDS = 30

Outcomes = Sequence["str | Exception | Alone"]


def answered(wishes: Sequence[str]) -> Outcomes:
    return [f"{wish} served" for wish in wishes]


def refuse(error: Exception) -> Callable[[Sequence[str]], Outcomes]:
    """A way to serve that fails as a whole."""

    def serve(_wishes: Sequence[str]) -> Outcomes:
        raise error

    return serve


class Desk:
    """
    Serves wishes, and remembers how.

    Attributes:
        batches: What was served together, and by whose thread.
        alone: What was served by itself, by whose thread.
        may_end: While it is cleared, what is being served does not end.
        commits: How often each batch says that it has only its COMMIT before it, which is
            what then does not end; 0 for never.
    """

    def __init__(self, serve: Callable[[Sequence[str]], Outcomes] = answered, **options: Any):
        self.batches: list[tuple[list[str], str]] = []
        self.alone: list[tuple[str, str]] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.commits = 0
        self._outcomes = serve
        self.gathering: Gathering[str, str] = Gathering(self._serve, self._serve_alone, **options)

    def _serve(self, wishes: Sequence[str], committing: Callable[[], None]) -> Outcomes:
        self.batches.append((list(wishes), threading.current_thread().name))
        for _ in range(self.commits):
            committing()
        assert self.may_end.wait(WAIT_SECONDS)
        return self._outcomes(wishes)

    def _serve_alone(self, wish: str) -> str:
        self.alone.append((wish, threading.current_thread().name))
        return f"{wish} served alone"

    @property
    def together(self) -> list[list[str]]:
        return [wishes for wishes, _ in self.batches]

    def waiting(self, number: int) -> None:
        """Wait until so many wait to be served."""
        eventually(lambda: len(self.gathering) == number, what=f"{number} wait")


class Crowd:
    """Threads that ask, each named for its wish."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._threads: list[threading.Thread] = []

    def ask(self, wish: str) -> Future[str]:
        """Let a thread of its own ask."""
        return self.run(wish, lambda: self._desk.gathering.ask(wish))

    def collect(self, ticket: Ticket[str, str]) -> Future[str]:
        """Let the thread of a submitted wish wait for what becomes of it."""
        return self.run(ticket.wish, lambda: self._desk.gathering.collect(ticket))

    def run(self, name: str, work: Callable[[], str]) -> Future[str]:
        future: Future[str] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001 - looked at by the test
                future.set_exception(error)

        thread = threading.Thread(target=run, name=name)
        self._threads.append(thread)
        thread.start()
        return future

    def go_home(self) -> None:
        self._desk.may_end.set()
        for thread in self._threads:
            thread.join(WAIT_SECONDS)


@contextmanager
def crowd_of(desk: Desk) -> Iterator[Crowd]:
    crowd = Crowd(desk)
    try:
        yield crowd
    finally:
        crowd.go_home()


@contextmanager
def busy(desk: Desk, *wishes: str) -> Iterator[tuple[Crowd, list[Future[str]]]]:
    """
    While one is being served, let these come one after the other; they wait.

    What is served ends when `desk.may_end` is set, or the block ends.
    """
    before = len(desk.batches)
    with crowd_of(desk) as crowd:
        desk.may_end.clear()
        crowd.ask("first")
        eventually(lambda: len(desk.batches) > before)
        futures = []
        for number, wish in enumerate(wishes, 1):
            futures.append(crowd.ask(wish))
            desk.waiting(number)
        yield crowd, futures


@contextmanager
def no_time_left() -> Iterator[None]:
    """Whatever is asked in this block has no patience left."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patience, "PATIENCE_SECONDS", 0.0)
        with new_patience():
            patched.undo()
            yield


class LateTicket(Ticket[str, str]):
    """A wish whose time ends, and only then, before its thread goes on, something happens."""

    __slots__ = ("meanwhile",)

    def __init__(self, wish: str, meanwhile: Callable[[], object]) -> None:
        super().__init__(wish)
        self.meanwhile = meanwhile

    def sleep(self, timeout_seconds: float) -> bool:
        self.meanwhile()
        return False


def refused() -> DBAPIError:
    return DBAPIError("INSERT", {}, psycopg.errors.UntranslatableCharacter())


def test_one_wish_alone_is_served_at_once_in_its_own_thread() -> None:
    desk = Desk()
    threads = threading.active_count()

    answers = [desk.gathering.ask("a"), desk.gathering.ask("b")]

    assert answers == ["a served", "b served"]
    me = threading.current_thread().name
    assert desk.batches == [(["a"], me), (["b"], me)]
    assert threading.active_count() == threads


def test_what_comes_while_one_is_served_is_served_together_by_the_newest() -> None:
    desk = Desk()
    with busy(desk, "b", "c", "d") as (_, futures):
        desk.may_end.set()
        answers = [future.result(WAIT_SECONDS) for future in futures]

    assert answers == ["b served", "c served", "d served"]
    assert desk.batches == [(["first"], "first"), (["b", "c", "d"], "d")]


def test_the_lead_is_handed_on_from_batch_to_batch_and_then_given_up() -> None:
    desk = Desk()
    with busy(desk, "b", "c") as (crowd, _):
        # The next batch ends at once; what comes while it is served is led by its newest.
        hold_second = threading.Event()
        desk._outcomes = lambda wishes: (
            answered(wishes) if "c" not in wishes or hold_second.wait(WAIT_SECONDS) else []
        )
        desk.may_end.set()
        eventually(lambda: len(desk.batches) == 2)
        third = [crowd.ask("d")]
        desk.waiting(1)
        third.append(crowd.ask("e"))
        desk.waiting(2)
        hold_second.set()
        answers = [future.result(WAIT_SECONDS) for future in third]

    assert answers == ["d served", "e served"]
    assert desk.batches[1:] == [(["b", "c"], "c"), (["d", "e"], "e")]
    assert desk.gathering.ask("later") == "later served"
    assert desk.batches[-1] == (["later"], threading.current_thread().name)


def test_wishes_that_are_submitted_together_are_led_by_the_last_of_them() -> None:
    desk = Desk()
    tickets: list[Ticket[str, str]] = [Ticket(wish) for wish in "abc"]
    desk.gathering.submit(tickets)
    with crowd_of(desk) as crowd:
        answers = [crowd.collect(ticket).result(WAIT_SECONDS) for ticket in reversed(tickets)]

    assert answers == ["c served", "b served", "a served"]
    assert desk.batches == [(["a", "b", "c"], "c")]


def test_nothing_submitted_leaves_the_lead_to_whoever_comes() -> None:
    desk = Desk()

    desk.gathering.submit([])

    assert desk.gathering.ask("a") == "a served"


def test_while_one_commits_the_next_are_served() -> None:
    desk = Desk()
    with busy(desk, "b", "c") as (crowd, futures):
        desk.commits = 1
        desk.may_end.set()
        for future in futures:
            future.result(WAIT_SECONDS)
        desk.may_end.clear()
        committing = [crowd.ask("d")]
        eventually(lambda: len(desk.batches) == 3)
        committing.append(crowd.ask("e"))
        eventually(lambda: len(desk.batches) == 4)

        assert not any(future.done() for future in committing)
        desk.may_end.set()
        assert [future.result(WAIT_SECONDS) for future in committing] == ["d served", "e served"]
    assert desk.together[2:] == [["d"], ["e"]]


@pytest.mark.parametrize("times", [1, 3], ids=["one try", "three tries"])
def test_so_many_commits_are_on_their_way_and_one_more_is_served(times: int) -> None:
    desk = Desk()
    desk.commits = times
    desk.may_end.clear()
    with crowd_of(desk) as crowd:
        futures = []
        for number in range(COMMITS_AT_ONCE + 1):
            futures.append(crowd.ask(f"{number}"))
            eventually(lambda number=number: len(desk.batches) == number + 1)
        for number, wish in enumerate("abc", 1):
            futures.append(crowd.ask(wish))
            desk.waiting(number)

        desk.may_end.set()
        for future in futures:
            future.result(WAIT_SECONDS)
    assert desk.together == [*([f"{number}"] for number in range(COMMITS_AT_ONCE + 1)), [*"abc"]]
    # Each of them has ended: as many may be on their way again.
    desk.may_end.clear()
    with crowd_of(desk) as crowd:
        for number in range(COMMITS_AT_ONCE + 1):
            crowd.ask(f"again {number}")
            eventually(lambda number=number: len(desk.batches) == COMMITS_AT_ONCE + 3 + number)


def test_a_commit_that_fails_is_on_its_way_no_more() -> None:
    desk = Desk(refuse(Unavailable("The database is away.")))
    desk.commits = 1
    for _ in range(COMMITS_AT_ONCE + 1):
        with pytest.raises(Unavailable):
            desk.gathering.ask("a")

    desk._outcomes = answered
    with busy(desk) as (crowd, _):
        crowd.ask("b")
        eventually(lambda: desk.together[-2:] == [["first"], ["b"]])


def test_a_refusal_of_all_is_told_to_each_and_the_next_are_served() -> None:
    desk = Desk()
    with busy(desk, "b", "c") as (_, futures):
        desk._outcomes = refuse(Unavailable("The database is away."))
        desk.may_end.set()
        refusals = [future.exception(WAIT_SECONDS) for future in futures]
        desk._outcomes = answered

    assert [type(refusal) for refusal in refusals] == [Unavailable, Unavailable]
    assert desk.alone == []
    assert desk.gathering.ask("later") == "later served"


def test_the_lead_is_handed_on_though_nobody_could_be_served() -> None:
    desk = Desk()
    desk._outcomes = refuse(Unavailable("The database is away."))
    with busy(desk, "b") as (_, futures):
        desk.may_end.set()

        assert isinstance(futures[0].exception(WAIT_SECONDS), Unavailable)
    assert desk.together == [["first"], ["b"]]


def test_what_the_database_refuses_together_is_served_one_by_one_in_its_own_thread() -> None:
    desk = Desk()
    with busy(desk, "b", "c") as (_, futures):
        desk._outcomes = refuse(refused())
        desk.may_end.set()
        answers = [future.result(WAIT_SECONDS) for future in futures]

    assert answers == ["b served alone", "c served alone"]
    assert {("b", "b"), ("c", "c")} <= set(desk.alone)


def test_one_that_has_to_be_alone_is_served_in_its_own_thread_its_neighbours_are_not() -> None:
    desk = Desk(lambda wishes: [ALONE if wish == "c" else f"{wish} served" for wish in wishes])
    with busy(desk, "b", "c", "d") as (_, futures):
        desk.may_end.set()
        answers = [future.result(WAIT_SECONDS) for future in futures]

    assert answers == ["b served", "c served alone", "d served"]
    assert desk.alone == [("c", "c")]


def test_whoever_is_served_alone_holds_up_nobody() -> None:
    desk = Desk(lambda wishes: [ALONE if wish == "c" else f"{wish} served" for wish in wishes])
    forever = threading.Event()
    served_alone = desk.gathering._serve_alone
    desk.gathering._serve_alone = lambda wish: (
        served_alone(wish) if forever.wait(WAIT_SECONDS) else "too late"
    )
    with busy(desk, "b", "c") as (_, (before, slow)):
        desk.may_end.set()

        assert before.result(WAIT_SECONDS) == "b served"
        assert desk.gathering.ask("later") == "later served"
        assert not slow.done()
        forever.set()
        assert slow.result(WAIT_SECONDS) == "c served alone"


def test_an_outcome_that_is_a_refusal_reaches_only_its_own() -> None:
    desk = Desk(
        lambda wishes: [
            Overloaded("not now") if wish == "c" else f"{wish} served" for wish in wishes
        ]
    )
    with busy(desk, "b", "c", "d") as (_, futures):
        desk.may_end.set()
        refusals = [future.exception(WAIT_SECONDS) for future in futures]

    assert [type(refusal) for refusal in refusals] == [type(None), Overloaded, type(None)]


def test_a_wish_whose_turn_does_not_come_in_time_is_withdrawn() -> None:
    desk = Desk()
    with busy(desk, "b") as (_, (waiting,)):
        with no_time_left(), pytest.raises(Overloaded):
            desk.gathering.ask("impatient")
        left = len(desk.gathering)
        desk.may_end.set()
        waiting.result(WAIT_SECONDS)

    assert left == 1
    # It was the newest, which would have led; the one before it does.
    assert desk.batches[1:] == [(["b"], "b")]


def test_a_wish_whose_time_ends_while_it_is_served_is_not_known_to_be_done() -> None:
    desk = Desk()
    with busy(desk) as (crowd, _):
        ticket: Ticket[str, str] = Ticket("a")
        desk.gathering.submit([ticket])
        leader = crowd.ask("leader")
        desk.waiting(2)
        hold = threading.Event()
        desk._outcomes = lambda wishes: (
            answered(wishes) if "a" not in wishes or hold.wait(WAIT_SECONDS) else []
        )
        desk.may_end.set()
        eventually(lambda: len(desk.batches) == 2)

        with no_time_left(), pytest.raises(OutcomeUnknown):
            desk.gathering.collect(ticket)
        hold.set()
        assert leader.result(WAIT_SECONDS) == "leader served"
    assert desk.together[1] == ["a", "leader"]


def test_a_wish_that_was_served_as_its_time_ended_is_answered() -> None:
    desk = Desk()
    with busy(desk) as (crowd, _):

        def be_served() -> None:
            crowd.ask("leader")
            desk.waiting(2)
            desk.may_end.set()
            eventually(lambda: late.outcome)

        late = LateTicket("late", be_served)
        desk.gathering.submit([late])

        assert desk.gathering.collect(late) == "late served"


def test_a_wish_that_is_to_lead_as_its_time_ends_leads_all_the_same() -> None:
    desk = Desk()
    with busy(desk, "b") as (_, (waiting,)):

        def become_leader() -> None:
            desk.may_end.set()
            eventually(lambda: late.leads)

        late = LateTicket("late", become_leader)
        desk.gathering.submit([late])
        with no_time_left():
            assert desk.gathering.collect(late) == "late served"

        assert waiting.result(WAIT_SECONDS) == "b served"
    assert desk.together[1:] == [["b", "late"]]
    assert desk.gathering.ask("later") == "later served"


def test_as_many_are_served_together_as_there_is_room_for_the_longest_waiting_first() -> None:
    desk = Desk(capacity=3)
    with busy(desk, "b", "c", "d", "e") as (_, futures):
        desk.may_end.set()
        for future in futures:
            future.result(WAIT_SECONDS)

    assert desk.together[1:] == [["b", "c", "e"], ["d"]]


def test_nobody_overtakes_one_that_there_was_no_room_for() -> None:
    # Each wish weighs what its name says.
    desk = Desk(weight=int, capacity=10)
    desk.may_end.clear()
    with crowd_of(desk) as crowd:
        crowd.ask("1")
        eventually(lambda: desk.batches)
        futures = []
        for number, wish in enumerate(["8", "2", "5"], 1):
            futures.append(crowd.ask(wish))
            desk.waiting(number)
        desk.may_end.set()
        for future in futures:
            future.result(WAIT_SECONDS)

    assert desk.together[1:] == [["5"], ["8", "2"]]


def test_a_wish_that_is_heavier_than_all_the_room_is_served_by_itself() -> None:
    desk = Desk(weight=int, capacity=10)

    assert desk.gathering.ask("11") == "11 served"


class ImpatientTicket(Ticket[str, str]):
    """A wish that hardly waits."""

    __slots__ = ()

    def sleep(self, timeout_seconds: float) -> bool:
        return super().sleep(0.0002)


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval_seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval_seconds)


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("seed", range(3))
def test_of_16_threads_each_wish_is_served_once_or_not_at_all_and_answered_its_own(
    seed: int,
) -> None:
    served: list[str] = []
    alone: list[str] = []
    together: list[int] = []
    at_once: list[int] = []
    serving, counting = threading.Lock(), threading.Lock()
    chance = random.Random(seed)

    def outcome(wish: str) -> str | Exception | Alone:
        return chance.choices([f"{wish} served", LookupError(wish), ALONE], [8, 1, 1])[0]

    def serve(
        wishes: Sequence[str], committing: Callable[[], None]
    ) -> list[str | Exception | Alone]:
        assert serving.acquire(blocking=False), "two batches at once, and neither commits"
        served.extend(wishes)
        together.append(len(wishes))
        time.sleep(chance.choice([0.0, 0.0005]))
        serving.release()
        with counting:
            at_once.append((at_once[-1] if at_once else 0) + 1)
        for _ in range(chance.choice([0, 1, 1, 2])):
            committing()
        time.sleep(chance.choice([0.0, 0.0005, 0.001]))
        with counting:
            at_once.append(at_once[-1] - 1)
        if chance.random() < 0.05:
            raise chance.choice([refused(), Unavailable("The database is away.")])
        return [outcome(wish) for wish in wishes]

    def serve_alone(wish: str) -> str:
        alone.append(wish)
        return f"{wish} served"

    gathering: Gathering[str, str] = Gathering(serve, serve_alone, weight=len, capacity=40)

    def ask(number: int) -> Counted[str]:
        became: Counted[str] = Counted()
        luck = random.Random(f"{seed} {number}")
        for turn in range(200):
            wish = f"{number}-{turn}"
            ticket = (ImpatientTicket if luck.random() < 0.3 else Ticket)(wish)
            try:
                gathering.submit([ticket])
                assert gathering.collect(ticket) == f"{wish} served"
                became["answered"] += 1
            except LookupError as error:
                became["refused" if error.args == (wish,) else "another's refusal"] += 1
            except OutcomeUnknown:
                became["unknown"] += 1
            except Unavailable as refusal:
                if "waiting" in refusal.message:
                    withdrawn.append(wish)
        return became

    withdrawn: list[str] = []
    with ThreadPoolExecutor(16) as threads:
        became = sum(threads.map(ask, range(16)), Counted())

    wished = {f"{number}-{turn}" for number in range(16) for turn in range(200)}
    assert len(served) == len(set(served))
    assert set(served) == wished - set(withdrawn)
    assert len(alone) == len(set(alone))
    assert became["answered"] > 0
    assert became["refused"] > 0
    assert min(max(together), len(withdrawn)) > 1, "nobody waited for anybody"
    assert max(at_once) == COMMITS_AT_ONCE + 1
    assert not became["another's refusal"]
    assert (len(gathering), gathering._led, gathering._committing) == (0, False, 0)
