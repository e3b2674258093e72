"""What keeps a lease of the adapter's, and what ends it, though nobody renews one there."""

from contextlib import closing
from typing import Any

import httpx2
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Json
from tests.contract.adapter import (
    GUIDANCE,
    LOGS,
    Adapter,
    Forest,
    as_bearer,
    log_body,
    run_id_of,
    told,
)
from tests.contract.browser import Browser

FIRST, REPORT = 20, 45
AWAY = "192.0.2.2"

BY_A_MODEL = {"type": "task", "taskType": "get-data", "executionType": "fully-automated"}
RECORDED = BY_A_MODEL | {"preRecordedArgs": {"fieldNames": ["total"]}}
AUTOMATIC = {"type": "condition", "executionType": "automatic"}
MANUAL = {"type": "condition", "executionType": "manual"}


def polled(adapter: Adapter, queue: str, **step: Any) -> tuple[Forest, Json]:
    """A run of two steps, the first of which is this one, and the executor that holds it."""
    executor = adapter.executor(queue)
    first = {"name": "one", "type": "one", **step}
    adapter.define(f"w-{queue}", first, {"name": "two", "type": "two"})
    adapter.web.create(queue, f"w-{queue}")
    [run] = executor.poll()
    return executor, run


def lasts(adapter: Adapter, run: Json, seconds: float) -> bool:
    """Whether the lease was given this length of those that there are, on a slow machine too."""
    return seconds / 3 < adapter.lease_seconds_left(run) <= seconds


def state(adapter: Adapter, run: Json) -> str:
    return str(adapter.web.run(run_id_of(run))["runState"])


@pytest.mark.parametrize(
    ("params", "seconds"),
    [
        ({}, FIRST),
        (GUIDANCE, FIRST),
        (RECORDED, FIRST),
        (MANUAL, FIRST),
        (BY_A_MODEL, 300 + REPORT),
        (AUTOMATIC, 300 + REPORT),
    ],
    ids=["native", "guidance", "recorded", "manual", "by a model", "automatic"],
)
@pytest.mark.parametrize("way", ["poll", "by number"])
def test_a_lease_is_short_until_the_first_sign_unless_none_is_to_be_expected(
    adapter: Adapter, queue: str, params: Json, seconds: int, way: str
) -> None:
    executor, run = polled(adapter, queue, params=params)
    if way == "by number":
        adapter.take_away(run)
        run = executor.available(run["id"])

    assert lasts(adapter, run, seconds)
    assert state(adapter, run) == "loading"


def ask_for_the_schema(executor: Forest, run: Json) -> httpx2.Response:
    return executor.schema(run)


def read(executor: Forest, run: Json) -> httpx2.Response:
    return executor.log(run, "read")


def write(executor: Forest, run: Json) -> httpx2.Response:
    return executor.log(run, "write")


def end_access(executor: Forest, run: Json) -> httpx2.Response:
    return executor.log_over(run)


@pytest.mark.parametrize("sign", [ask_for_the_schema, read, write, end_access])
@pytest.mark.parametrize(("timeout", "seconds"), [(None, 300), (2.5, 3), (4000, 4000)])
def test_a_sign_of_life_makes_a_lease_long_and_confirms_it(
    adapter: Adapter, queue: str, sign: Any, timeout: float | None, seconds: int
) -> None:
    executor, run = polled(adapter, queue, timeoutSeconds=timeout)

    assert sign(executor, run).is_success

    assert lasts(adapter, run, seconds + REPORT)
    assert state(adapter, run) == "started"


def test_the_next_step_is_expected_to_give_a_sign_of_its_own(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)
    executor.log(run)

    second = executor.go_on(run)

    assert second is not None
    assert lasts(adapter, run, FIRST)
    executor.log(second)
    executor.go_on(run)
    assert lasts(adapter, run, 300 + REPORT)


def test_a_log_is_answered_with_what_is_named_when_it_is_over(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)

    answer = executor.log(run)
    over = executor.log_over(run)

    assert answer.status_code == 200
    data = answer.json()["data"]
    assert (data["id"], data["attributes"]["index"]) == ("0", str(run["id"]))
    assert (over.status_code, over.content) == (204, b"")


def test_only_a_write_is_written_ahead(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)

    executor.schema(run)
    executor.log(run, "read")
    executor.log_over(run)

    assert "step-started" not in adapter.web.kinds(run_id_of(run))
    executor.log(run, "write")
    executor.log(run, "write")
    assert adapter.web.kinds(run_id_of(run)).count("step-started") == 1


@pytest.mark.parametrize("kind", ["write", "delete", "", "READ"])
def test_what_is_not_a_reading_is_taken_for_a_write(
    adapter: Adapter, queue: str, kind: str
) -> None:
    executor, run = polled(adapter, queue)

    assert executor.log(run, kind).status_code == 200

    assert "step-started" in adapter.web.kinds(run_id_of(run))


def test_a_write_is_written_ahead_whatever_the_definition_says(
    adapter: Adapter, queue: str
) -> None:
    """The executor's own store refuses a second write of the step."""
    executor, run = polled(adapter, queue, mutating=False)

    assert executor.log(run, "write").status_code == 200

    assert "step-started" in adapter.web.kinds(run_id_of(run))


def take_away(adapter: Adapter, executor: Forest, run: Json) -> None:
    adapter.take_away(run)


def give_to_another(adapter: Adapter, executor: Forest, run: Json) -> None:
    adapter.take_away(run)
    assert adapter.executor(adapter.web.run(run_id_of(run))["queue"]).available(run["id"])


def give_back(adapter: Adapter, executor: Forest, run: Json) -> None:
    adapter.take_away(run)
    assert executor.available(run["id"])


def report(adapter: Adapter, executor: Forest, run: Json) -> None:
    assert executor.go_on(run)


def abort(adapter: Adapter, executor: Forest, run: Json) -> None:
    adapter.web.ask("POST", f"/v1/runs/{run_id_of(run)}/abort", {})


@pytest.mark.parametrize("end", [take_away, give_to_another, give_back, report, abort])
@pytest.mark.parametrize("kind", ["read", "write"])
def test_whoever_has_lost_the_step_may_not_access_anything(
    adapter: Adapter, queue: str, end: Any, kind: str
) -> None:
    executor, run = polled(adapter, queue)
    end(adapter, executor, run)
    before = adapter.web.kinds(run_id_of(run))

    answer = executor.log(run, kind)

    assert told(answer) == (403, "dispatch-over")
    assert "step-started" not in adapter.web.kinds(run_id_of(run))
    assert [each for each in adapter.web.kinds(run_id_of(run)) if each != "started"] == [
        each for each in before if each != "started"
    ]


def test_the_error_of_whoever_was_refused_is_not_taken_for_the_newer_leases(
    adapter: Adapter, queue: str
) -> None:
    """One executor may still execute a step that it has lost, and holds anew."""
    executor, run = polled(adapter, queue)
    adapter.take_away(run)
    [again] = executor.poll()
    assert told(executor.log(run)) == (403, "dispatch-over")

    assert told(executor.tell(run, "error")) == (409, "lease-lost")

    assert state(adapter, run) == "loading"
    assert executor.log(again).status_code == 200
    assert executor.go_on(again, "error") is None
    assert state(adapter, run) == "failed"


@pytest.mark.parametrize("case", ["a success", "refused elsewhere", "long ago", "an aborted run"])
def test_no_other_outcome_is_refused_for_it(adapter: Adapter, queue: str, case: str) -> None:
    executor, run = polled(adapter, queue)
    if case == "an aborted run":
        adapter.web.ask("POST", f"/v1/runs/{run_id_of(run)}/abort", {})
        assert executor.log(run).status_code == 403
        assert executor.go_on(run, "error") is None
        return
    adapter.take_away(run)
    other = adapter.executor(queue) if case == "refused elsewhere" else executor
    [again] = other.poll()
    assert executor.log(run).status_code == 403
    if case == "long ago":
        adapter.owner.execute(
            """UPDATE "compatRuns" SET "refusedAt" = "refusedAt" - interval '11 seconds'"""
        )

    status = "success" if case == "a success" else "error"

    assert other.tell(again, status).status_code == 200


def test_that_an_access_is_over_is_heard_also_after_the_report(
    adapter: Adapter, queue: str
) -> None:
    """It is not waited for there; and the next step's lease is none of its business."""
    executor, run = polled(adapter, queue)
    executor.log(run)
    executor.go_on(run)

    assert executor.log_over(run).status_code == 204

    assert lasts(adapter, run, FIRST)


def test_an_access_is_named_as_it_was_answered(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)

    for path in (f"{LOGS}/{run['id'] + 1}/0/status", f"{LOGS}/{run['id']}/1/status"):
        answer = executor.client.send(
            "PATCH", path, {"status": "completed"}, headers=as_bearer(run)
        )
        assert told(answer) == (404, "not-found")


def forged(run: Json) -> list[str]:
    token = run["userProfile"]["serverToken"]
    text, _, signature = token.rpartition(".")
    number, rest = text.split("-", 1)
    return [
        "x",
        text,
        f"{text}.",
        f"{int(number) + 1}-{rest}.{signature}",
        f"{text}.{signature[:-1]}",
        f"{token}x",
        f"{token}.{signature}",
        "é",
        "." * 300,
        "9" * 290,
    ]


def test_a_server_token_that_was_not_signed_here_is_refused(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)

    for token in forged(run):
        answer = executor.client.send(
            "POST", LOGS, log_body("write"), headers={"Authorization": f"Bearer {token}".encode()}
        )
        assert told(answer) == (401, "unauthenticated"), token
    answer = executor.send("POST", LOGS, log_body("write"))
    assert told(answer) == (401, "unauthenticated")
    assert "step-started" not in adapter.web.kinds(run_id_of(run))


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
