"""Claims while all slots are taken: for a few runs more, which wait here for their turn."""

import threading

import msgspec
import pytest

from executor import App
from executor.deadline import monotonic_seconds
from tests.acceptance.waiting import eventually

WAIT_SECONDS = 10
SLOTS = 2


@pytest.fixture
def gate():
    """Lets the runs end that keep a slot."""
    return threading.Event()


@pytest.fixture
def began():
    """The runs whose handler began."""
    return []


@pytest.fixture
def app(gate, began):
    app = App()
    app.step("quick")(lambda context: None)

    @app.step("hold")
    def hold(context):
        began.append(context.run.id)
        gate.wait(WAIT_SECONDS)

    return app


@pytest.fixture(autouse=True)
def whatever_runs_here_is_quick(monkeypatch):
    """On a machine that is busy with other things too."""
    monkeypatch.setattr("executor.pace.AHEAD_SECONDS", 60.0)
    monkeypatch.setattr("executor.pace.REMEMBERED_SECONDS", 60.0)


@pytest.fixture
def lease_seconds():
    return "3600"


@pytest.fixture
def executor(app, start_executor, gate, lease_seconds):
    yield start_executor(app, EXECUTOR_SLOTS=str(SLOTS), EXECUTOR_LEASE_SECONDS=lease_seconds)
    gate.set()


@pytest.fixture
def begin(executor, dispatch):
    """Begin a run as a poll does."""

    def begin(step_type):
        made = dispatch(type=step_type, lease_seconds=3600)
        executor.runner.begin(made, executor.leases.hold(made, monotonic_seconds()))
        return made

    return begin


@pytest.fixture
def knows_its_pace(executor, begin):
    """An executor that has seen that runs are quick here."""
    begin("quick")
    assert executor.runner.wait_until_idle(WAIT_SECONDS)
    return executor


def test_who_knows_nothing_of_its_pace_has_no_room_beyond_its_slots(executor, begin):
    for _ in range(SLOTS):
        begin("hold")

    assert executor.runner.wait_for_room(0.0, ahead=True) == 0


def test_who_is_quick_has_room_for_twice_its_slots_and_no_more(knows_its_pace, begin):
    runner = knows_its_pace.runner
    room = []
    for _ in range(2 * SLOTS):
        begin("hold")
        room.append(runner.wait_for_room(0.0, ahead=True))

    # One that may wait is worth a claim when half of them are missing, not before.
    assert room == [2, 2, 0, 0]


def test_without_a_backlog_there_is_room_in_free_slots_only(knows_its_pace, begin):
    runner = knows_its_pace.runner
    room = []
    for _ in range(SLOTS):
        begin("hold")
        room.append(runner.wait_for_room(0.0, ahead=False))

    assert room == [1, 0]


def test_what_waits_is_executed_when_a_slot_is_free_and_renewed_before(
    knows_its_pace, begin, gate, began
):
    executor = knows_its_pace
    made = [begin("hold") for _ in range(2 * SLOTS)]

    _, leases = executor.leases.names()
    assert {lease.id for lease in leases} == {one.lease.id for one in made}
    assert not set(began) & {one.run.id for one in made[SLOTS:]}
    gate.set()
    assert executor.runner.wait_until_idle(WAIT_SECONDS)
    assert sorted(began) == sorted(one.run.id for one in made)


def released(answers):
    """The reasons for which leases were given back."""
    bodies = answers.bodies("release")
    return {one["leaseId"]: body["reason"] for body in bodies for one in body["leases"]}


def test_a_drain_gives_back_what_waits_and_lets_what_runs_end(
    knows_its_pace, begin, gate, began, answers
):
    executor = knows_its_pace
    running, waiting = [[begin("hold") for _ in range(SLOTS)] for _ in range(2)]

    executor.runner.drain()
    with answers.changed:
        assert answers.changed.wait_for(lambda: len(released(answers)) == SLOTS, WAIT_SECONDS)
    gate.set()

    assert executor.runner.wait_until_idle(WAIT_SECONDS)
    assert released(answers) == {one.lease.id: "draining" for one in waiting}
    assert sorted(began) == sorted(one.run.id for one in running)


@pytest.mark.parametrize("lease_seconds", ["3"])
def test_what_no_slot_becomes_free_for_within_a_third_of_a_lease_is_given_back(
    knows_its_pace, begin, gate, began, answers
):
    executor = knows_its_pace
    begun_at = monotonic_seconds()
    running, waiting = [[begin("hold") for _ in range(SLOTS)] for _ in range(2)]

    with answers.changed:
        assert answers.changed.wait_for(lambda: len(released(answers)) == SLOTS, WAIT_SECONDS)
    waited_seconds = monotonic_seconds() - begun_at
    gate.set()

    assert executor.runner.wait_until_idle(WAIT_SECONDS)
    assert waited_seconds > 1.0
    assert released(answers) == {one.lease.id: "no-slot" for one in waiting}
    assert sorted(began) == sorted(one.run.id for one in running)


@pytest.mark.parametrize("lease_seconds", ["3"])
def test_what_is_being_given_back_takes_no_slot(knows_its_pace, begin, gate, began, answers):
    executor = knows_its_pace
    asked, answered = threading.Event(), threading.Event()

    def release(body):
        asked.set()
        assert answered.wait(WAIT_SECONDS)
        return 200, {"released": [], "lost": []}

    answers.say("release", release)
    for _ in range(2 * SLOTS):
        begin("hold")
    assert asked.wait(WAIT_SECONDS)
    gate.set()
    later = begin("hold")

    try:
        eventually(lambda: later.run.id in began, within_seconds=WAIT_SECONDS)
    finally:
        answered.set()
    assert executor.runner.wait_until_idle(WAIT_SECONDS)


def test_an_executor_holds_twice_its_slots_at_the_most_while_there_is_a_backlog(
    app, answers, dispatch, start_executor
):
    handed_out, done, held = [], [], []

    def hand_out(body):
        held.append(len(handed_out) - len(done) + body["limit"])
        made = [dispatch(type="quick") for _ in range(body["limit"])]
        handed_out.extend(made)
        claimed = [msgspec.to_builtins(one) for one in made]
        return 200, {"dispatches": claimed}

    def finish(body):
        finished = [{"runId": one["runId"], "status": "finished"} for one in body["reports"]]
        done.extend(finished)
        return 200, {"results": finished}

    answers.say("claims", hand_out)
    answers.say("reports", finish)
    start_executor(app, EXECUTOR_SLOTS=str(SLOTS), EXECUTOR_LEASE_SECONDS="3600")
    answers.wait_for("claims", 40)

    assert max(held) == 2 * SLOTS


def test_runs_are_claimed_ahead_only_after_a_claim_that_got_all_it_asked_for(
    app, answers, dispatch, start_executor, gate
):
    limits, holding = [], []

    def hand_out(body):
        limits.append(body["limit"])
        step_types = []
        if len(limits) == 1:
            step_types = ["quick"] * SLOTS
        elif len(limits) > 2 and len(holding) < SLOTS and (holding or body["limit"] == SLOTS):
            # One at a time: the first is half of what was asked for, the second all of it.
            step_types = ["hold"]
            holding.append(len(limits) - 1)
        made = [dispatch(type=one, lease_seconds=3600) for one in step_types]
        claimed = [msgspec.to_builtins(one) for one in made]
        return 200, {"dispatches": claimed, "nextPollAfterMs": 20}

    answers.say("claims", hand_out)
    start_executor(app, EXECUTOR_SLOTS=str(SLOTS), EXECUTOR_LEASE_SECONDS="3600")
    with answers.changed:
        assert answers.changed.wait_for(
            lambda: len(holding) == SLOTS and len(limits) > holding[-1] + 1, WAIT_SECONDS
        )

    gate.set()
    first = holding[0]
    assert limits[first : first + 3] == [SLOTS, 1, SLOTS]
