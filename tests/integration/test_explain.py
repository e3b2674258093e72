"""Explain over the API: a real run in each situation, what it is told, and which gates are shut."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event
from uuid_utils.compat import uuid7

from orchestrator.lifecycle import Role
from tests.integration.face import Face, Json, fresh_name, problem, step


def explain(face: Face, run_id: str) -> Json:
    return face.ask(Role.VIEWER, "GET", f"/v1/runs/{run_id}/explain")


def shut(explanation: Json) -> list[str]:
    return [each["gate"] for each in explanation["gates"] if not each["open"]]


def text_of(explanation: Json, gate: str) -> str:
    (text,) = (each["text"] for each in explanation["gates"] if each["gate"] == gate)
    return str(text)


def pending(face: Face, **members: Any) -> Json:
    """A new run of a queue that one idle executor serves."""
    run = face.create("refund", **members)
    serve(face, run["queue"])
    return run


def serve(face: Face, queue: str, **members: Any) -> str:
    """Let one more executor process serve this queue; its session."""
    session = str(uuid4())
    face.register(session, queues=[queue], **members)
    return session


def moment(face: Face, run_id: str, column: str) -> str:
    """A time of the run as a text has it."""
    (row,) = face.sql(
        f"SELECT to_char(\"{column}\" AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS at"
        ' FROM "workflowRuns" WHERE id = %s',
        run_id,
    )
    return f"{row['at']} UTC"


def test_nothing_is_in_the_way_of_the_next(face: Face) -> None:
    run = pending(face)

    explanation = explain(face, run["id"])

    assert (explanation["runState"], explanation["executing"]) == ("pending", False)
    assert (explanation["reason"], shut(explanation)) == ("next", [])
    assert explanation["text"] == (
        f"Nothing is in its way: the next claim from queue {run['queue']} gets it."
    )
    assert [each["gate"] for each in explanation["gates"]] == [
        "due-time", "queue-paused", "limit", "not-served", "slots-busy", "position"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "state", "says"),
    [
        ({"status": "success"}, "finished", "It finished at {at}."),
        (
            {"status": "error", "message": "no such order", "retryable": False},
            "failed",
            "It failed at {at}. step-failed: no such order",
        ),
    ],
)
def test_what_is_over_says_how_it_ended(face: Face, outcome: Json, state: str, says: str) -> None:
    dispatch = face.dispatch("refund")
    face.tell((dispatch, outcome))

    explanation = explain(face, dispatch["run"]["id"])

    assert (explanation["runState"], explanation["reason"]) == (state, "over")
    assert shut(explanation) == ["over"]
    at = moment(face, dispatch["run"]["id"], "finishedAt")
    assert explanation["text"] == says.format(at=at)


def test_an_aborted_run_is_over(face: Face) -> None:
    run = face.create("refund")
    face.abort(run["id"])

    assert explain(face, run["id"])["text"].startswith("It was aborted at ")


def test_who_holds_it_executes_it(face: Face) -> None:
    dispatch = face.dispatch("refund")
    run_id = dispatch["run"]["id"]
    loading = explain(face, run_id)
    renew(face, dispatch)
    started = explain(face, run_id)

    assert [each["executing"] for each in (loading, started)] == [True, True]
    assert [each["reason"] for each in (loading, started)] == ["executing", "executing"]
    assert [gate["gate"] for gate in started["gates"]] == ["held"]
    since, until = moment(face, run_id, "lockedAt"), moment(face, run_id, "leaseExpiresAt")
    assert "executor has held it since" in loading["text"]
    assert "has not confirmed yet" in loading["text"]
    assert f"executor has held it since {since} and executes it; until {until}" in started["text"]
    assert "late" not in started["text"]


def renew(face: Face, dispatch: Json) -> None:
    named = {"leaseId": dispatch["lease"]["id"], "runId": dispatch["run"]["id"]}
    body = {"session": face.session, "leases": [named], "claiming": [], "asOf": None}
    face.ask(Role.EXECUTOR, "POST", "/v1/leases/renew", body)


def let_lease_end_in(face: Face, run_id: str, seconds: float) -> None:
    face.sql(
        'UPDATE "workflowRuns" SET "leaseExpiresAt" = clock_timestamp() + make_interval(secs => %s)'
        " WHERE id = %s",
        seconds,
        run_id,
    )


def set_keeper(face: Face, *, ticked_ago: float = 0, amnesty_ago: float | None = None) -> None:
    face.sql(
        'UPDATE keeper SET "lastTickAt" = clock_timestamp() - make_interval(secs => %s),'
        ' "amnestySince" = clock_timestamp() - make_interval(secs => %s)',
        ticked_ago,
        amnesty_ago,
    )


def test_a_holder_that_misses_two_heartbeats_is_late(face: Face) -> None:
    run_id = face.dispatch("refund")["run"]["id"]
    face.sql('UPDATE "workflowRuns" SET "leaseSeconds" = 600 WHERE id = %s', run_id)
    let_lease_end_in(face, run_id, 300)

    explanation = explain(face, run_id)

    assert explanation["executing"]
    assert "Its heartbeat is late: the last one came 5 min ago." in explanation["text"]


def test_an_abort_that_was_asked_for_is_told(face: Face) -> None:
    run_id = face.dispatch("refund")["run"]["id"]
    face.abort(run_id)

    text = explain(face, run_id)["text"]

    assert f"An abort was asked for at {moment(face, run_id, 'abortRequestedAt')}" in text


@pytest.mark.parametrize(
    ("keeper", "says"),
    [
        ({}, "The keeper takes it back within a second."),
        ({"ticked_ago": 3600}, "no keeper is awake: the last one ticked at "),
        ({"amnesty_ago": 5}, "There was an outage until "),
    ],
)
def test_a_lease_that_has_run_out_waits_for_the_keeper(
    face: Face, keeper: dict[str, float], says: str
) -> None:
    run_id = face.dispatch("refund")["run"]["id"]
    face.sql('UPDATE "workflowRuns" SET "leaseSeconds" = 3600 WHERE id = %s', run_id)
    let_lease_end_in(face, run_id, -2)
    set_keeper(face, **keeper)

    explanation = explain(face, run_id)

    assert (explanation["executing"], explanation["reason"]) == (False, "held")
    assert f"held it until {moment(face, run_id, 'leaseExpiresAt')}" in explanation["text"]
    assert says in explanation["text"]
    face.tick()


def test_an_unknown_outcome_needs_a_word(face: Face, charge: str) -> None:
    run_id = face.begun(charge)["run"]["id"]
    face.expire(run_id)

    explanation = explain(face, run_id)

    assert explanation["reason"] == "outcome-unknown"
    assert shut(explanation) == ["outcome-unknown", "not-served"]
    assert "whether its mutating step charge has happened; only resolve" in explanation["text"]
    assert explanation["text"].endswith("1 more gate is shut: not-served.")


@pytest.mark.parametrize(
    ("waiting_for", "says"),
    [
        ({}, ", and waits for as long as it takes."),
        ({"timeoutSeconds": 3600}, "; then it fails."),
        ({"timeoutSeconds": 3600, "onTimeout": {"next": "b"}}, "; then it goes on with step b."),
    ],
)
def test_a_wait_for_input_says_since_when_and_what_then(
    face: Face, chain: str, waiting_for: Json, says: str
) -> None:
    run_id = face.waiting(chain, **waiting_for)["run"]["id"]

    explanation = explain(face, run_id)

    assert explanation["reason"] == "needs-input"
    text = text_of(explanation, "needs-input")
    assert text.startswith("Its step a has waited for input since ")
    assert text.endswith(says)
    if waiting_for:
        assert f", until {moment(face, run_id, 'availableAt')}; then" in text


def test_a_time_to_start_at_is_told(face: Face) -> None:
    run = face.create("refund", availableAt="2999-01-01T00:00:00Z")

    explanation = explain(face, run["id"])

    assert (explanation["runState"], explanation["reason"]) == ("scheduled", "due-time")
    assert text_of(explanation, "due-time") == (
        "It is due at 2999-01-01 00:00:00 UTC: it was created for that time by client."
    )
    assert "position" not in [each["gate"] for each in explanation["gates"]]


def test_a_back_off_says_after_which_failure_of_how_many(face: Face) -> None:
    workflow = face.define(step("a", retry={"maxFailures": 7, "backoffSeconds": 200}))
    dispatch = face.dispatch(workflow)
    face.fail(dispatch)

    text = text_of(explain(face, dispatch["run"]["id"]), "due-time")

    assert text.endswith(": it waits after failure 1 of 7 (no answer).")


def test_a_step_that_asked_for_later_says_so(face: Face) -> None:
    dispatch = face.dispatch("refund")
    face.tell((dispatch, {"status": "later", "availableAt": "2999-01-01T00:00:00Z"}))

    text = text_of(explain(face, dispatch["run"]["id"]), "due-time")

    assert text.endswith("UTC: its step refund asked to be executed again then.")


def test_a_pause_after_a_release_says_how_often(face: Face) -> None:
    dispatch = face.dispatch("refund")
    face.release(dispatch, reason="no-handler")

    text = text_of(explain(face, dispatch["run"]["id"]), "due-time")

    assert "it was given back 1 time in a row, at last for the reason no-handler;" in text


def test_what_is_due_waits_for_the_keeper(face: Face) -> None:
    run = face.create("refund", availableAt="2999-01-01T00:00:00Z")
    face.sql(
        'UPDATE "workflowRuns" SET "availableAt" = clock_timestamp() - interval \'1 s\''
        " WHERE id = %s",
        run["id"],
    )
    set_keeper(face)

    explanation = explain(face, run["id"])

    assert explanation["reason"] == "due-time"
    assert "; the keeper makes it pending within a second." in explanation["text"]
    face.tick()


def test_a_paused_queue_says_who_paused_it(face: Face) -> None:
    run = pending(face)
    face.pause(run["queue"])
    (act,) = acts(face, run["queue"])
    # What was done to the queue later is not the pause.
    face.sql(
        'INSERT INTO "operatorActs" (id, at, actor, kind, subject, detail)'
        " VALUES (%s, clock_timestamp(), 'limiter', 'limit-queue', %s, '{}')",
        str(uuid7()),
        run["queue"],
    )
    face.sql("UPDATE queues SET \"changedBy\" = 'limiter' WHERE name = %s", run["queue"])

    explanation = explain(face, run["id"])

    assert (explanation["reason"], shut(explanation)) == ("queue-paused", ["queue-paused"])
    assert explanation["text"] == (
        f"Queue {run['queue']} is paused: operator paused it at {act['at']} UTC."
    )


def acts(face: Face, queue: str) -> list[Json]:
    return face.sql(
        "SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS at"
        ' FROM "operatorActs" WHERE subject = %s',
        queue,
    )


def test_a_pause_of_long_ago_says_who_last_changed_the_queue(face: Face) -> None:
    run = pending(face)
    face.sql(
        'INSERT INTO queues (name, paused, "changedBy", "changedAt")'
        " VALUES (%s, true, 'long-ago', clock_timestamp())",
        run["queue"],
    )

    text = explain(face, run["id"])["text"]

    assert f"Queue {run['queue']} is paused: long-ago last changed it at " in text


def test_a_full_queue_says_who_fills_it(face: Face) -> None:
    run = pending(face)
    queue = run["queue"]
    face.limit(queue, maxConcurrency=1)
    other = face.create("refund", queue=queue)
    assert explain(face, run["id"])["reason"] == "next"
    face.hold(other["id"])

    explanation = explain(face, run["id"])

    assert (explanation["reason"], shut(explanation)) == ("limit", ["limit"])
    assert explanation["text"] == (
        f"Queue {queue} allows 1 lease at once, and 1 is held (executor: 1)."
    )


def test_a_rate_that_is_used_up_says_when_there_is_more(face: Face) -> None:
    run = pending(face)
    queue = run["queue"]
    face.limit(queue, ratePerSecond=1)
    assert explain(face, run["id"])["reason"] == "next"
    # Whenever it is asked, one grant of these counts: each does for 41 slots.
    face.sql(
        'UPDATE queues SET "grantCounts" = array_fill(1, ARRAY[61]), "grantSlots" = ARRAY('
        " SELECT floor(extract(epoch FROM clock_timestamp()) * 20)::bigint + 41 * n"
        "   FROM generate_series(0, 60) AS n) WHERE name = %s",
        queue,
    )

    explanation = explain(face, run["id"])

    assert explanation["reason"] == "limit"
    assert explanation["text"].startswith(
        f"Queue {queue} grants 1 lease in any second, and 1 was granted just now; it grants more"
    )


def test_a_key_that_is_full_says_which_runs_have_its_places(face: Face) -> None:
    queue = fresh_name("queue")
    serve(face, queue)
    for _ in range(3):
        face.create("refund", queue=queue, concurrencyKey="order-6", priority=3)
    first, second, third = (
        face.create("refund", queue=queue, concurrencyKey="order-7", priority=2) for _ in range(3)
    )

    explanations = [explain(face, run["id"]) for run in (first, second, third)]

    assert [each["reason"] for each in explanations] == ["position", "limit", "limit"]
    assert text_of(explanations[0], "limit") == "It has a place of its concurrencyKey 'order-7'."
    assert (
        f"at most 1 may be claimed or held at once, and now 1 are ({first['id']})."
        in (explanations[1]["text"])
    )
    assert "come before it" not in explanations[1]["text"]
    assert explanations[2]["text"].endswith("1 run of that key comes before it.")
    refused = face.claim_run(second["id"])
    assert problem(refused) == (409, "run-not-claimable")
    assert explanations[1]["text"].partition(" ")[2] in refused.json["detail"]  # type: ignore[index]


def test_a_run_that_is_not_due_is_told_of_its_key_too(face: Face) -> None:
    queue = fresh_name("queue")
    run = pending(face, queue=queue, concurrencyKey="k", availableAt="2999-01-01T00:00:00Z")
    free = explain(face, run["id"])
    pending(face, queue=queue, concurrencyKey="k")
    full = explain(face, run["id"])

    assert (shut(free), shut(full)) == (["due-time"], ["due-time", "limit"])
    assert text_of(free, "limit") == "Its concurrencyKey 'k' has a free place."


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("DELETE FROM executors WHERE %s = ANY (queues)", "step type refund."),
        (
            "UPDATE executors SET state = 'draining' WHERE %s = ANY (queues)",
            ": 1 is draining (executor:one).",
        ),
        (
            "UPDATE executors SET state = 'quarantined' WHERE %s = ANY (queues)",
            ": 1 is in quarantine (executor:one).",
        ),
        (
            "UPDATE executors SET \"stepTypes\" = '{other}' WHERE %s = ANY (queues)",
            ": 1 is without a handler for the step's type (executor:one).",
        ),
        (
            "UPDATE executors SET \"seenAt\" = '2026-01-01T00:00:00Z' WHERE %s = ANY (queues)",
            ": 1 was last seen at 2026-01-01 00:00:00 UTC (executor:one).",
        ),
    ],
    ids=["nobody", "draining", "quarantined", "other types", "unseen"],
)
def test_a_queue_that_nobody_serves_says_who_is_there(face: Face, change: str, says: str) -> None:
    run = pending(face)
    served = explain(face, run["id"])
    face.sql(change, run["queue"])

    explanation = explain(face, run["id"])

    assert text_of(served, "not-served") == (
        f"1 executor serves queue {run['queue']} and step type refund (executor:one)."
    )
    assert (explanation["reason"], shut(explanation)) == ("not-served", ["not-served"])
    assert explanation["text"].startswith("No active executor that is registered")
    assert explanation["text"].endswith(says)
    assert "slots-busy" not in [each["gate"] for each in explanation["gates"]]


def test_who_has_a_handler_for_the_type_serves_it(face: Face) -> None:
    run = face.create("refund")
    serve(face, run["queue"], stepTypes=["other", "refund"])

    assert explain(face, run["id"])["reason"] == "next"


def test_busy_slots_are_counted(face: Face) -> None:
    queue = fresh_name("queue")
    session = serve(face, queue, slots=2)
    for _ in range(2):
        face.hold(face.create("refund", queue=queue)["id"], session=session, executor="one")
        last = explain(face, face.create("refund", queue=queue)["id"])
    face.register(session, queues=[queue], slots=3)
    free = explain(face, last_run(face, queue))
    face.register(session, queues=[queue], slots=None)
    unsaid = explain(face, last_run(face, queue))

    assert (last["reason"], shut(last)) == ("slots-busy", ["slots-busy", "position"])
    assert (
        "All slots of the 1 executor that serves it (executor:one) are taken: 2 of 2."
        in (last["text"])
    )
    assert text_of(free, "slots-busy").startswith("1 of the 3 slots of the 1 executor")
    assert "slots-busy" not in shut(unsaid)


def test_what_one_process_holds_too_much_takes_no_slot_of_another(face: Face) -> None:
    queue = fresh_name("queue")
    eager, idle = serve(face, queue, slots=1), serve(face, queue, slots=1)
    for _ in range(2):
        face.hold(face.create("refund", queue=queue)["id"], session=eager, executor="one")
    # A session of that id which another executor has is none of this one's.
    face.hold(face.create("refund", queue=queue)["id"], session=idle, executor="two")
    run = face.create("refund", queue=queue)

    text = text_of(explain(face, run["id"]), "slots-busy")

    assert text.startswith("1 of the 2 slots of the 2 executors")


def last_run(face: Face, queue: str) -> str:
    (row,) = face.sql(
        'SELECT id::text FROM "workflowRuns" WHERE queue = %s ORDER BY id DESC LIMIT 1', queue
    )
    return str(row["id"])


def test_the_runs_before_it_are_counted(face: Face) -> None:
    queue = fresh_name("queue")
    serve(face, queue)
    first, second, third = (face.create("refund", queue=queue) for _ in range(3))
    urgent = face.create("refund", queue=queue, priority=10)

    explanations = [explain(face, run["id"]) for run in (urgent, first, second, third)]

    assert [each["reason"] for each in explanations] == ["next", "position", "position", "position"]
    assert [each["text"].partition(" of queue")[0] for each in explanations[1:]] == [
        "1 run", "2 runs", "3 runs"
    ]  # fmt: skip
    assert "When its turn comes cannot be said" in explanations[-1]["text"]
    face.limit(queue, ratePerSecond=1)
    assert "At the queue's rate that takes 3 s at least." in explain(face, third["id"])["text"]
    face.sql(
        'INSERT INTO activity ("spanSeconds", "beganAt", queue, claimed)'
        " SELECT 60, date_trunc('minute', clock_timestamp() - interval '2 minutes'), n.queue, 7"
        "   FROM unnest(ARRAY[%s, %s]) AS n(queue)",
        queue,
        f"not-{queue}",
    )
    assert "7 runs were claimed from it in the last " in explain(face, third["id"])["text"]


def test_an_executor_that_names_no_queues_may_or_may_not_serve_it(face: Face) -> None:
    there, draining, gone = (str(uuid4()) for _ in range(3))
    for session in (there, draining, gone):
        face.register(session, queues=[])
    face.sql("UPDATE executors SET state = 'draining' WHERE session = %s", draining)
    face.sql("UPDATE executors SET \"seenAt\" = '2026-01-01' WHERE session = %s", gone)
    run = face.create("refund")

    text = text_of(explain(face, run["id"]), "not-served")

    assert text.endswith(
        "type refund: 1 is registered without a word on which queues it polls (executor:one)."
    )
    face.sql("DELETE FROM executors WHERE queues = '{}'")


def test_every_gate_that_is_shut_is_named(face: Face) -> None:
    run = face.create("refund", availableAt="2999-01-01T00:00:00Z")
    face.pause(run["queue"])

    explanation = explain(face, run["id"])

    assert shut(explanation) == ["due-time", "queue-paused", "not-served"]
    assert explanation["text"].endswith("2 more gates are shut: queue-paused, not-served.")


def test_all_that_is_read_is_of_one_moment(face: Face) -> None:
    run = pending(face)
    face.pause(run["queue"])

    def resume_queue(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "AS paused_by" in statement:
            face.sql("UPDATE queues SET paused = false WHERE name = %s", run["queue"])

    engine = face.services.database.work
    event.listen(engine, "before_cursor_execute", resume_queue)
    try:
        during = explain(face, run["id"])
    finally:
        event.remove(engine, "before_cursor_execute", resume_queue)

    assert (during["reason"], explain(face, run["id"])["reason"]) == ("queue-paused", "next")


def test_a_run_that_is_not_there_has_no_explanation(face: Face) -> None:
    missing = face.send(Role.VIEWER, "GET", "/v1/runs/01890000-0000-7000-8000-0000000000ab/explain")

    assert problem(missing) == (404, "run-not-found")
