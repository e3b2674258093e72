"""
Runs of random definitions, led at random through the HTTP face by two sessions.

Whatever is asked, in whatever order, by a holder or by one who has lost its lease:
the answer and the run are what `run_model` says. `--hypothesis-profile=long` goes on for
longer; `DIBS_SEED` repeats what a failed run has printed.
"""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from werkzeug.test import TestResponse

from orchestrator.lifecycle import Role
from orchestrator.store import endings, keeper
from orchestrator.store.transaction import transact
from tests.integration.face import Face, Json, fresh_name
from tests.integration.random_definitions import definitions
from tests.integration.run_model import INPUT, MAX_CRASHES, MAX_FAILURES, OVER, RunModel

settings.register_profile("long", max_examples=1500, stateful_step_count=100)
EXAMPLES, STEPS = 40, 40
MOST_RUNS, LIVE_RUNS = 6, 2
NEVER = "2999-01-01T00:00:00Z"

values = st.integers(0, 2)
# Drawn evenly, which integers are not: small ones come more often.
picks = st.sampled_from(range(48))


class Runs(RuleBasedStateMachine):
    """Every rule asks Dibs and the model the same, and compares."""

    face: ClassVar[Face]

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[str, RunModel] = {}
        self.ids: list[str] = []
        self.sessions = [str(uuid4()), str(uuid4())]
        # Every dispatch that was ever handed out: a stale one may still be used.
        self.dispatches: list[Json] = []

    @initialize(steps=definitions())
    def define(self, steps: list[Json]) -> None:
        self.steps = steps
        self.queue = fresh_name("queue")
        self.workflow = self.face.define(*steps)
        self.create()

    @precondition(lambda self: len(self.ids) < MOST_RUNS and len(self._live()) < LIVE_RUNS)
    @rule()
    def create(self) -> None:
        run = self.face.create(
            self.workflow,
            queue=self.queue,
            input={"of": "the run"},
            maxFailures=MAX_FAILURES,
            maxCrashes=MAX_CRASHES,
        )
        by_name = {each["name"]: each for each in self.steps}
        self.models[run["id"]] = RunModel(by_name, self.queue, self.steps[0]["name"])
        self.ids.append(run["id"])

    # Claims and input.

    @precondition(lambda self: self.ids)
    @rule(pick=picks, session=st.integers(0, 1))
    def claim(self, pick: int, session: int) -> None:
        self._claim(self._run(pick, "pending"), session)

    @precondition(lambda self: self.ids)
    @rule(session=st.integers(0, 1), limit=st.integers(1, 3))
    def poll(self, session: int, limit: int) -> None:
        waiting = {i for i, m in self.models.items() if m.state == "pending"}
        own = {i for i in waiting if self.models[i].step_queue == self.queue}

        got = self.face.claim(self.queue, session=self.sessions[session], limit=limit)

        assert len(got) == min(limit, len(own))
        assert {dispatch["run"]["id"] for dispatch in got} <= own
        for dispatch in got:
            assert self.models[dispatch["run"]["id"]].claim() == "ok"
            self._held(dispatch)

    @precondition(lambda self: self.ids)
    @rule(pick=picks, session=st.integers(0, 1), value=values)
    def claim_with_input(self, pick: int, session: int, value: int) -> None:
        run_id = self._run(pick, "waiting")
        answer = self.face.claim_run(run_id, session=self.sessions[session], input=value)

        self._same(answer, self.models[run_id].claim_with(value))
        self._keep(answer)

    @precondition(lambda self: self.ids)
    @rule(pick=picks, value=values)
    def resume(self, pick: int, value: int) -> None:
        self._resume(self._run(pick, "waiting"), value)

    # Holders, and those who were.

    @precondition(lambda self: self.ids)
    @rule(pick=picks, choice=picks, chain=st.booleans(), steps=st.sampled_from([1, 2, 3, 4]))
    def succeed(self, pick: int, choice: int, chain: bool, steps: int) -> None:
        dispatch = self._dispatch(pick)
        for _ in range(steps):
            self._succeed(dispatch, choice, chain=chain)
            model = self.models[dispatch["run"]["id"]]
            if model.state in OVER or model.lease not in (None, dispatch["lease"]["id"]):
                break
            dispatch = self._held_by_someone(dispatch["run"]["id"], session=0)

    @precondition(lambda self: self.ids)
    @rule(pick=picks, choice=picks)
    def choose_anything(self, pick: int, choice: int) -> None:
        chosen = [None, "nowhere", *(each["name"] for each in self.steps)]
        following = chosen[choice % len(chosen)]
        outcome = {"status": "success", "output": 7} | ({"next": following} if following else {})
        self._report(self._dispatch(pick), outcome)

    @precondition(lambda self: self.ids)
    @rule(pick=picks, retryable=st.sampled_from([None, True, True, False]))
    def fail(self, pick: int, retryable: bool | None) -> None:
        said = {} if retryable is None else {"retryable": retryable}
        self._report(self._dispatch(pick), {"status": "error", "message": "no", **said})

    @precondition(lambda self: self.ids)
    @rule(pick=picks)
    def not_know(self, pick: int) -> None:
        self._report(self._dispatch(pick), {"status": "unknown", "message": "it hung up"})

    @precondition(lambda self: self.ids)
    @rule(pick=picks)
    def put_off(self, pick: int) -> None:
        self._report(self._dispatch(pick), {"status": "later", "availableAt": NEVER})

    @precondition(lambda self: self.ids)
    @rule(
        pick=picks, value=values, timeout=st.sampled_from([None, "fail", "next", "next", "wrong"])
    )
    def ask(self, pick: int, value: int, timeout: str | None) -> None:
        dispatch = self._dispatch(pick)
        waiting_for: Json = {"schema": {"const": value}}
        if timeout is not None:
            waiting_for["timeoutSeconds"] = 1000
        offered = self.models[dispatch["run"]["id"]].steps[dispatch["step"]["name"]]["next"]
        if timeout == "next" and offered:
            waiting_for["onTimeout"] = {"next": offered[-1]}
        if timeout == "wrong":
            waiting_for["onTimeout"] = {"next": "nowhere"}
        self._report(dispatch, {"status": "awaiting-input", "waitingFor": waiting_for})
        if timeout == "next" and value:
            self._let_time_pass(dispatch["run"]["id"])

    @precondition(lambda self: any(model.told for model in self.models.values()))
    @rule(pick=picks)
    def tell_again(self, pick: int) -> None:
        told = [
            (run_id, lease, index, outcome)
            for run_id, model in self.models.items()
            for (lease, index), (outcome, _) in model.told.items()
        ]
        run_id, lease, index, outcome = told[pick % len(told)]
        dispatch = {"run": {"id": run_id}, "lease": {"id": lease}, "step": {"index": index}}
        self._report(dispatch, outcome)

    @precondition(lambda self: self.ids)
    @rule(pick=picks)
    def start(self, pick: int) -> None:
        dispatch = self._dispatch(pick)
        model = self.models[dispatch["run"]["id"]]
        begins = model.start(dispatch["lease"]["id"], dispatch["step"]["index"])

        self._same(self.face.start(dispatch), "ok" if begins else "lease-lost")

    @precondition(lambda self: self.ids)
    @rule(pick=picks)
    def renew(self, pick: int) -> None:
        dispatch = self._dispatch(pick)
        lease_id, run_id = dispatch["lease"]["id"], dispatch["run"]["id"]
        model = self.models[run_id]
        body = {
            "session": self.sessions[0],
            "leases": [{"leaseId": lease_id, "runId": run_id}],
            "claiming": [],
            "asOf": None,
        }

        answer = self.face.ask(Role.EXECUTOR, "POST", "/v1/leases/renew", body)

        holds = model.renew(lease_id)
        assert [each["leaseId"] for each in answer["renewed"]] == [lease_id] * holds
        assert answer["lost"] == [lease_id] * (not holds)
        assert answer["abort"] == [lease_id] * (holds and model.abort_requested)

    @precondition(lambda self: self.ids)
    @rule(pick=picks)
    def release(self, pick: int) -> None:
        dispatch = self._dispatch(pick)
        self.face.release(dispatch)

        self.models[dispatch["run"]["id"]].release(dispatch["lease"]["id"])

    # The keeper, on one run at a time.

    @precondition(lambda self: self.ids)
    @rule(pick=picks)
    def expire(self, pick: int) -> None:
        run_id = self._dispatch(pick)["run"]["id"]
        self.face.sql(
            'UPDATE "workflowRuns" SET "leaseExpiresAt" = now() - interval \'1 s\' WHERE id = %s'
            ' AND "leaseId" IS NOT NULL',
            run_id,
        )
        self._keeper(partial(endings.expire, since=datetime.now(UTC)), run_id)
        self.face.forgive()

        self.models[run_id].expire()

    @precondition(lambda self: self.ids)
    @rule(pick=picks)
    def let_time_pass(self, pick: int) -> None:
        self._let_time_pass(self._run(pick, "scheduled", "waiting"))

    # Clients and operators.

    @precondition(lambda self: self.ids)
    @rule(pick=picks)
    def abort(self, pick: int) -> None:
        run_id = self._run(pick, "loading", "started", "finished")
        answer = self.face.send(Role.CLIENT, "POST", f"/v1/runs/{run_id}/abort", {})

        self._same(answer, self.models[run_id].abort())

    @precondition(lambda self: self.ids)
    @rule(pick=picks)
    def retry(self, pick: int) -> None:
        run_id = self._run(pick, "failed", "aborted")
        answer = self.face.send(Role.CLIENT, "POST", f"/v1/runs/{run_id}/retry", {})

        self._same(answer, self.models[run_id].retry())

    @precondition(lambda self: self.ids)
    @rule(pick=picks, as_=st.sampled_from(["done", "run-again", "abort"]), choice=picks)
    def resolve(self, pick: int, as_: str, choice: int) -> None:
        run_id = self._run(pick, "waiting")
        chosen = [None, *(each["name"] for each in self.steps)][choice % (len(self.steps) + 1)]
        self._resolve(run_id, as_, chosen)

    # What must be seen after each.

    @invariant()
    def every_run_is_as_the_model_says(self) -> None:
        for run_id, model in self.models.items():
            run = self.face.run(run_id)
            expected = model.seen()
            assert {name: run[name] for name in expected} == expected
            assert (run["error"] or {}).get("code") == model.error
            assert (run["waitingFor"] or {}).get("reason") == (model.waiting_for or {}).get(
                "reason"
            )
            assert bool(run["abortRequestedAt"]) == model.abort_requested
            assert bool(run["mutatingSince"]) == model.marked
            assert bool(run["lockedBy"]) == (model.lease is not None)

    def teardown(self) -> None:
        for run_id, model in self.models.items():
            stored = {
                each["stepIndex"]: (each["name"], each["output"])
                for each in self.face.steps(run_id)
                if each["state"] == "finished"
            }
            assert stored == model.results

    def _run(self, pick: int, *states: str) -> str:
        """One of the runs; more often than not one in these states."""
        fitting = [i for i in self.ids if self.models[i].state in states]
        chosen = fitting if fitting and pick % 4 else self.ids
        return chosen[pick % len(chosen)]

    def _live(self) -> list[str]:
        return [run_id for run_id in self.ids if self.models[run_id].state not in OVER]

    def _dispatch(self, pick: int) -> Json:
        """One that was handed out, stale or not; more often than not the current one of a run."""
        if pick % 4 == 0 and self.dispatches:
            return self.dispatches[pick // 4 % len(self.dispatches)]
        if not self._live():
            self.create()
        live = self._live()
        return self._held_by_someone(live[pick // 4 % len(live)], pick % 2)

    def _held_by_someone(self, run_id: str, session: int) -> Json:
        """What an honest executor and a helpful operator do, until the run is held."""
        model = self.models[run_id]
        while model.lease is None:
            asked = model.waiting_for
            if model.state == "pending":
                self._claim(run_id, session)
            elif asked is None:
                self._let_time_pass(run_id)
            elif asked["reason"] == INPUT:
                self._resume(run_id, asked["schema"]["const"])
            else:
                self._resolve(run_id, "run-again", None)
        return [each for each in self.dispatches if each["run"]["id"] == run_id][-1]

    def _claim(self, run_id: str, session: int) -> None:
        answer = self.face.claim_run(run_id, session=self.sessions[session])

        self._same(answer, self.models[run_id].claim())
        self._keep(answer)

    def _resume(self, run_id: str, value: int) -> None:
        self._same(self.face.resume(run_id, value), self.models[run_id].resume(value))

    def _let_time_pass(self, run_id: str) -> None:
        self.face.sql(
            'UPDATE "workflowRuns" SET "availableAt" = now() - interval \'1 s\' WHERE id = %s'
            """ AND "runState" IN ('scheduled', 'waiting') AND "availableAt" IS NOT NULL""",
            run_id,
        )
        self._keeper(keeper.make_due, run_id)
        self._keeper(keeper.time_out_waits, run_id)

        self.models[run_id].let_time_pass()

    def _succeed(self, dispatch: Json, choice: int, *, chain: bool) -> None:
        offered = self.models[dispatch["run"]["id"]].steps[dispatch["step"]["name"]]["next"]
        following = {"next": offered[choice % len(offered)]} if offered else {}
        outcome = {"status": "success", "output": choice, **following}
        self._report(dispatch, outcome, chain=chain)

    def _resolve(self, run_id: str, as_: str, following: str | None) -> None:
        members = {"output": "resolved"} | ({"next": following} if following else {})
        answer = self.face.resolve(run_id, as_, **members)

        self._same(answer, self.models[run_id].resolve(as_, following))

    def _report(self, dispatch: Json, outcome: Json, *, chain: bool = True) -> None:
        run_id, lease_id = dispatch["run"]["id"], dispatch["lease"]["id"]
        model = self.models[run_id]
        status, replayed = model.report(lease_id, dispatch["step"]["index"], outcome, chain=chain)

        result = self.face.tell((dispatch, outcome), chain=chain)[0]

        code = result["problem"]["code"] if result["problem"] else result["status"]
        assert (code, result["replayed"]) == (status, replayed)
        if status == "continue" and model.lease == lease_id:
            self._check_dispatch(result["next"])
            assert result["next"]["lease"]["id"] == lease_id
            self.dispatches.append(result["next"])
        else:
            assert result["next"] is None

    def _keep(self, answer: TestResponse) -> None:
        if answer.status_code == 200:
            self._held(orjson.loads(answer.data))

    def _held(self, dispatch: Json) -> None:
        self.models[dispatch["run"]["id"]].lease = dispatch["lease"]["id"]
        self._check_dispatch(dispatch)
        self.dispatches.append(dispatch)

    def _check_dispatch(self, dispatch: Json) -> None:
        expected = self.models[dispatch["run"]["id"]].dispatched()
        assert {name: dispatch["step"][name] for name in expected} == expected

    def _same(self, answer: TestResponse, expected: str) -> None:
        said = "ok" if answer.status_code == 200 else orjson.loads(answer.data)["code"]
        assert said == expected, answer.text

    def _keeper(self, duty: Any, run_id: str) -> None:
        self.face.sql('UPDATE keeper SET "lastTickAt" = clock_timestamp()')
        transact(self.face.services.database.leases, partial(duty, limit=1, only=UUID(run_id)))


@pytest.mark.timeout(3600)
def test_whatever_is_asked_in_whatever_order_runs_are_as_the_model_says(face: Face) -> None:
    number = int(os.environ.get("DIBS_SEED") or random.randrange(2**32))
    print(f"DIBS_SEED={number}")  # noqa: T201 - pytest shows it when the test fails
    profile = settings.get_profile(settings.get_current_profile_name())
    long = settings.get_current_profile_name() == "long"
    machine = type("RunsOfOneFace", (Runs,), {"face": face})

    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=profile.max_examples if long else EXAMPLES,
            stateful_step_count=profile.stateful_step_count if long else STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
