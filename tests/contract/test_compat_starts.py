"""What ends a lease of the adapter's: a start, a poll, and who may send them."""

from contextlib import closing

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Json
from tests.contract.adapter import (
    Adapter,
    Forest,
    run_id_of,
)
from tests.contract.browser import Browser
from tests.contract.polled import BY_A_MODEL, FIRST, REPORT, lasts, polled, state

AWAY = "192.0.2.2"


def test_a_new_start_ends_what_the_one_before_held(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)
    executor.log(run, "read")
    adapter.age(run)

    executor.start()

    assert state(adapter, run) == "pending"
    assert adapter.web.kinds(run_id_of(run))[-1] == "replaced"
    assert adapter.web.run(run_id_of(run))["crashes"] == 1
    assert [again["id"] for again in executor.poll()] == [run["id"]]


def test_a_step_that_may_have_acted_waits_for_somebody_to_say_so(
    adapter: Adapter, queue: str
) -> None:
    executor, run = polled(adapter, queue)
    executor.log(run, "write")
    adapter.age(run)

    executor.start()

    waiting = adapter.web.run(run_id_of(run))
    assert waiting["runState"] == "waiting"
    assert waiting["waitingFor"]["reason"] == "outcome-unknown"
    assert executor.available(run["id"]) is None
    assert executor.poll() == []
    adapter.ops.ask("POST", f"/v1/runs/{run_id_of(run)}/resolve", {"as": "run-again"})
    [again] = executor.poll()
    assert [entry["stepIndex"] for entry in again["workflowHistory"]] == [1]


def test_a_start_that_is_heard_late_ends_no_lease_of_its_own(adapter: Adapter, queue: str) -> None:
    """It is not waited for there, and sent again."""
    executor, run = polled(adapter, queue)
    executor.log(run, "read")
    adapter.age(run, 2)

    executor.start()

    assert state(adapter, run) == "started"
    assert lasts(adapter, run, FIRST)
    executor.log(run, "read")
    assert lasts(adapter, run, 300 + REPORT)
    assert executor.go_on(run) is not None


def test_copies_of_one_start_end_nothing_that_was_granted_since_the_first(
    adapter: Adapter, queue: str
) -> None:
    """They may come half a minute apart."""
    executor = adapter.executor(queue)
    executor.start()
    adapter.web.create(queue, "refund")
    [run] = executor.poll()
    set_back(adapter, executor, 40)
    adapter.age(run, 39)
    executor.log(run, "read")

    executor.start()
    executor.start()

    assert state(adapter, run) == "started"
    assert lasts(adapter, run, FIRST)
    set_back(adapter, executor, 61)
    executor.start()
    assert state(adapter, run) == "pending"


def set_back(adapter: Adapter, executor: Forest, seconds: int) -> None:
    """Let every start of an executor so far have been so much earlier."""
    adapter.owner.execute(
        'UPDATE executors SET "registeredAt" = "registeredAt" - make_interval(secs => %s)'
        ' WHERE "fullName" = %s',
        [seconds, executor.name],
    )


@pytest.mark.parametrize(
    ("step", "sign"), [({"params": BY_A_MODEL}, None), ({}, "write")], ids=["model", "begun"]
)
def test_a_late_start_leaves_alone_what_gives_no_sign_for_long(
    adapter: Adapter, queue: str, step: Json, sign: str | None
) -> None:
    executor, run = polled(adapter, queue, **step)
    if sign:
        executor.log(run, sign)

    executor.start()

    assert lasts(adapter, run, 300 + REPORT)


def test_a_poll_ends_what_was_polled_and_never_reported(adapter: Adapter, queue: str) -> None:
    """It is only sent when all that the one before got is done."""
    executor, run = polled(adapter, queue)
    adapter.age(run)

    assert executor.poll() == []

    assert state(adapter, run) == "scheduled"
    released = adapter.web.events(run_id_of(run))[-1]
    assert (released["kind"], released["detail"]["reason"]) == ("released", "dropped")
    assert adapter.web.run(run_id_of(run))["crashes"] == 0


def test_so_it_does_when_the_step_has_begun(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)
    executor.log(run, "write")
    adapter.age(run)

    executor.poll()

    assert adapter.web.run(run_id_of(run))["waitingFor"]["reason"] == "outcome-unknown"


def test_a_poll_that_is_heard_late_ends_nothing(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)
    adapter.age(run, 2)

    executor.poll()

    assert state(adapter, run) == "loading"
    assert executor.go_on(run) is not None


def test_a_poll_ends_no_chain_that_goes_on(adapter: Adapter, queue: str) -> None:
    """Nobody has said that it waits for those."""
    executor, run = polled(adapter, queue)
    second = executor.go_on(run)
    assert second is not None
    executor.log(second, "read")
    adapter.age(run, 200)

    executor.poll()

    assert state(adapter, run) == "started"
    assert executor.go_on(second) is None


def test_a_poll_ends_nothing_that_was_asked_for_by_number(adapter: Adapter, queue: str) -> None:
    """It is executed beside the poll."""
    executor, run = polled(adapter, queue)
    adapter.take_away(run)
    run = executor.available(run["id"])
    executor.log(run, "read")
    adapter.age(run, 200)

    executor.poll()

    assert state(adapter, run) == "started"


def test_what_was_asked_for_by_number_and_never_begun_is_an_orphan(
    adapter: Adapter, queue: str
) -> None:
    """As when somebody triggered it who may not: that is found out after the claim."""
    executor, run = polled(adapter, queue)
    adapter.take_away(run)
    run = executor.available(run["id"])
    adapter.age(run)

    again = executor.poll()

    assert [each["id"] for each in again] == [run["id"]]
    assert adapter.web.kinds(run_id_of(run))[-2:] == ["orphaned", "claimed"]
    assert adapter.web.run(run_id_of(run))["crashes"] == 1


@pytest.mark.parametrize("way", ["start", "poll"])
def test_nobody_ends_what_another_executor_holds(adapter: Adapter, queue: str, way: str) -> None:
    _, run = polled(adapter, queue)
    adapter.age(run)
    other = adapter.executor(queue)

    getattr(other, way)()

    assert state(adapter, run) == "loading"


@pytest.mark.parametrize("way", ["start", "poll"])
def test_a_secret_at_a_second_address_ends_nothing_and_gets_nothing(
    adapter: Adapter, queue: str, way: str
) -> None:
    executor, run = polled(adapter, queue)
    adapter.age(run)
    run_id = adapter.web.create(queue, "refund")
    twin = Forest(executor.name, executor.secret, executor.client, AWAY)

    getattr(twin, way)()

    assert twin.poll() == []
    assert twin.available(run_id) is None
    assert state(adapter, run) == "loading"
    assert adapter.web.run(run_id)["runState"] == "pending"
    assert executor.go_on(run) is not None
    assert executor.available(run_id) is not None


def leave(adapter: Adapter, executor: Forest, seconds: int) -> None:
    """Let an executor have been seen so much earlier."""
    adapter.owner.execute(
        'UPDATE "compatExecutors" SET "seenAt" = "seenAt" - make_interval(secs => %s)'
        ' WHERE "tokenName" = %s',
        [seconds, executor.name],
    )


def test_a_secret_may_move_when_its_first_address_is_silent_for_a_minute(
    adapter: Adapter, queue: str
) -> None:
    executor, run = polled(adapter, queue)
    adapter.age(run, 100)
    twin = Forest(executor.name, executor.secret, executor.client, AWAY)
    run_id = adapter.web.create(queue, "refund")
    leave(adapter, executor, 20)
    assert twin.poll() == []
    leave(adapter, executor, 61)

    twin.start()

    assert [run_id_of(each) for each in twin.poll()] == [run_id]
    assert state(adapter, run) == "loading", "it may be executed there still"
    assert executor.poll() == []


def test_a_second_address_needs_attention(adapter: Adapter, queue: str) -> None:
    executor = adapter.executor(queue)
    executor.poll()
    Forest(executor.name, executor.secret, executor.client, AWAY).poll()

    page = overview(adapter)

    assert f"<code>{executor.name}</code> claims from 192.0.2.1" in page
    assert AWAY in page
    adapter.owner.execute(
        """UPDATE "compatExecutors" SET "otherAt" = now() - interval '11 minutes'
            WHERE "otherAt" IS NOT NULL"""
    )
    assert executor.name not in overview(adapter)


def overview(adapter: Adapter) -> str:
    """The first page, as an operator sees it."""
    with closing(Browser(adapter.stage.orchestrator.url)) as browser:
        browser.sign_in(adapter.stage.tokens[Role.OPERATOR])
        return browser.open("/ui").text
