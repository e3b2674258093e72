"""What clients and operators ask: create, abort, resume, retry, resolve; pause a queue."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from orchestrator.lifecycle import Role
from tests.integration.face import Json
from tests.integration.machine.ground import Ground, keys, picks, values
from tests.integration.run_model import MAX_CRASHES, MAX_FAILURES, RunModel, Verdict

MOST_RUNS, LIVE_RUNS = 6, 2


class Clients(Ground):
    """Each with its key, or without one."""

    @precondition(lambda self: len(self.ids) < MOST_RUNS and len(self.model.live) < LIVE_RUNS)
    @rule(
        key=keys,
        dedup_key=st.sampled_from([None, None, "one"]),
        on_conflict=st.sampled_from(["refuse", "return"]),
    )
    def create(
        self,
        key: str | None,
        dedup_key: str | None,
        on_conflict: str,
    ) -> None:
        # Of all examples: the token is one.
        whole_key = f"{self.queue}-{key}" if key else None
        self._ask_for_one(whole_key, dedup_key, on_conflict)

    def create_one(self) -> None:
        """A run that nothing is in the way of."""
        self._ask_for_one(None, None, "refuse")

    def _ask_for_one(self, key: str | None, dedup_key: str | None, on_conflict: str) -> None:
        body = {
            "workflow": self.workflow,
            "queue": self.queue,
            "input": {"of": "the run"},
            "maxFailures": MAX_FAILURES,
            "maxCrashes": MAX_CRASHES,
            "dedupKey": dedup_key,
            "onConflict": on_conflict,
        }
        self.do(lambda: self._create(key, body))

    def _create(self, key: str | None, body: Json) -> None:
        verdict, found = self.model.create(key, body)
        headers = {"Idempotency-Key": key} if key else {}

        answer = self.send(Role.CLIENT, "/v1/runs", body, headers)

        run = self.said(answer, verdict)
        if verdict == "run-already-active":
            assert run["runId"] == found
        elif verdict == "ok" and found is not None:
            assert (answer.status_code, run["id"]) == (200, found)
        elif verdict == "ok":
            assert answer.status_code == 201
            assert run["id"] not in self.model.runs
            by_name = {each["name"]: each for each in self.steps}
            self.model.runs[run["id"]] = RunModel(
                by_name,
                self.queue,
                self.steps[0]["name"],
                paused=self.model.paused,
                dedup_key=body["dedupKey"],
            )
            if key is not None:
                self.model.created[key] = (run["id"], body)

    @precondition(lambda self: self.ids)
    @rule(pick=picks, key=keys)
    def abort(self, pick: int, key: str | None) -> None:
        run_id = self.run(pick, "loading", "started", "finished")
        self.do(lambda: self._abort(run_id, key))

    def _abort(self, run_id: str, key: str | None) -> None:
        model = self.model.runs[run_id]
        verdict = model.act(
            "client",
            key,
            ("aborted", "abort-requested"),
            {"abort": None},
            lambda: model.abort(keyed=key is not None),
        )
        self._act(Role.CLIENT, run_id, "abort", {}, key, verdict)

    @precondition(lambda self: self.ids)
    @rule(pick=picks, key=keys)
    def retry(self, pick: int, key: str | None) -> None:
        run_id = self.run(pick, "failed", "aborted")
        self.do(lambda: self._retry(run_id, key))

    def _retry(self, run_id: str, key: str | None) -> None:
        model = self.model.runs[run_id]
        verdict = model.act(
            "client",
            key,
            ("retried",),
            {},
            lambda: model.retry(has_rival=self.model.rival_of(model.dedup_key) is not None),
        )
        self._act(Role.CLIENT, run_id, "retry", {}, key, verdict)

    @precondition(lambda self: self.ids)
    @rule(pick=picks, value=values, key=keys)
    def resume(self, pick: int, value: int, key: str | None) -> None:
        run_id = self.run(pick, "waiting")
        self.do(lambda: self.resume_run(run_id, value, key))

    def resume_run(self, run_id: str, value: int, key: str | None = None) -> None:
        model, body = self.model.runs[run_id], {"input": value}
        verdict = model.act("client", key, ("resumed",), body, lambda: model.resume(value))
        self._act(Role.CLIENT, run_id, "resume", body, key, verdict)

    @precondition(lambda self: self.ids)
    @rule(pick=picks, as_=st.sampled_from(["done", "run-again", "abort"]), choice=picks, key=keys)
    def resolve(self, pick: int, as_: str, choice: int, key: str | None) -> None:
        run_id = self.run(pick, "waiting")
        chosen = [None, *(each["name"] for each in self.steps)][choice % (len(self.steps) + 1)]
        self.do(lambda: self.resolve_run(run_id, as_, chosen, key))

    def resolve_run(
        self, run_id: str, as_: str, following: str | None = None, key: str | None = None
    ) -> None:
        model = self.model.runs[run_id]
        body = {"as": as_, "output": "resolved"} | ({"next": following} if following else {})
        verdict = model.act(
            "operator", key, ("resolved",), body, lambda: model.resolve(as_, following)
        )
        self._act(Role.OPERATOR, run_id, "resolve", body, key, verdict)

    def _act(
        self, role: Role, run_id: str, act: str, body: Json, key: str | None, verdict: Verdict
    ) -> None:
        headers = {"Idempotency-Key": key} if key else {}

        answer = self.send(role, f"/v1/runs/{run_id}/{act}", body, headers)

        run = self.said(answer, verdict)
        if verdict == "ok":
            seen = self.model.runs[run_id].seen()
            assert {name: run[name] for name in seen} == seen

    @rule(pick=picks)
    def pause(self, pick: int) -> None:
        queue = self.queues[pick % len(self.queues)]
        act = "resume" if queue in self.model.paused else "pause"
        self.do(lambda: self._pause(queue, act))

    def let_in(self, queue: str) -> None:
        """Let the queue be paused no longer."""
        self._pause(queue, "resume")

    def _pause(self, queue: str, act: str) -> None:
        self.said(self.send(Role.OPERATOR, f"/v1/queues/{queue}/{act}", {}), "ok")

        if act == "pause":
            self.model.paused.add(queue)
        else:
            self.model.paused.discard(queue)
