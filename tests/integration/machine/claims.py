"""What executors claim: by poll, by id, with the input of a waiting run."""

from __future__ import annotations

from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.integration.face import Json
from tests.integration.machine.ground import Ground, picks, values
from tests.integration.run_model import Executor
from tests.integration.service_model import Granted

who = st.integers(0, 2)


class Claims(Ground):
    """Each with a request id, now and then one that another claim has used."""

    @precondition(lambda self: self.ids)
    @rule(pick=picks, by=who)
    def claim(self, pick: int, by: int) -> None:
        self._claim_by_id(self.run(pick, "pending"), self.executors[by], pick)

    @precondition(lambda self: self.ids)
    @rule(pick=picks, by=who, value=values)
    def claim_with_input(self, pick: int, by: int, value: int) -> None:
        self._claim_by_id(self.run(pick, "waiting"), self.executors[by], pick, input=value)

    def _claim_by_id(self, run_id: str, executor: Executor, pick: int, **members: int) -> None:
        body = {"requestId": self._request_id(pick), **members}
        self.do(lambda: self.claim_run(run_id, executor, body))

    def claim_one(self, run_id: str, executor: Executor) -> None:
        """A claim of a run that is claimable, with a request id of its own."""
        body = {"requestId": str(uuid4())}
        self.do(lambda: self.claim_run(run_id, executor, body))

    def claim_run(self, run_id: str, executor: Executor, body: Json) -> None:
        model = self.model.runs[run_id]
        request = (executor.token, body["requestId"])
        granted = self.model.granted.get(request)
        sent = {"run": run_id, "session": executor.session, **body}
        if granted is not None and granted.body != sent:
            verdict = "request-id-reused"
        elif granted is not None:
            verdict = model.claim_again(granted.leases[0][1])
        else:
            verdict = model.claim_with(body["input"]) if "input" in body else model.claim()

        answer = self.send_as(executor, f"/v1/runs/{run_id}/claim", body)

        dispatch = self.said(answer, verdict)
        if verdict != "ok":
            return
        assert dispatch["replayed"] == (granted is not None)
        if granted is None:
            self.hold(dispatch, executor, body["requestId"])
            self.model.granted[request] = Granted(sent, ((run_id, dispatch["lease"]["id"]),))
        else:
            self.hand(dispatch, executor)

    @rule(pick=picks, by=who, limit=st.integers(1, 3), queues=st.sampled_from([1, 2, 3]))
    def poll(self, pick: int, by: int, limit: int, queues: int) -> None:
        body = {
            "requestId": self._request_id(pick),
            "queues": [queue for bit, queue in enumerate(self.queues) if queues & 1 << bit],
            "limit": limit,
        }
        executor = self.executors[by]
        self.do(lambda: self._poll(executor, body))

    def _poll(self, executor: Executor, body: Json) -> None:
        request = (executor.token, body["requestId"])
        granted = self.model.granted.get(request)
        sent = {"session": executor.session, **body}
        is_another = granted is not None and granted.body != sent

        answer = self.send_as(executor, "/v1/claims", body)

        got = self.said(answer, "request-id-reused" if is_another else "ok")
        if is_another:
            return
        assert got["replayed"] == (granted is not None)
        run_ids = [dispatch["run"]["id"] for dispatch in got["dispatches"]]
        if granted is not None:
            assert run_ids == self.model.still_held(granted)
            for dispatch in got["dispatches"]:
                self.hand(dispatch, executor)
            return
        claimable = self.model.claimable(body["queues"])
        assert len(run_ids) == min(body["limit"], len(claimable))
        assert len(set(run_ids)) == len(run_ids)
        assert set(run_ids) <= claimable
        for dispatch in got["dispatches"]:
            self.hold(dispatch, executor, body["requestId"])
        if run_ids:
            leases = tuple(
                (dispatch["run"]["id"], dispatch["lease"]["id"]) for dispatch in got["dispatches"]
            )
            self.model.granted[request] = Granted(sent, leases)

    def _request_id(self, pick: int) -> str:
        used = [request_id for _, request_id in self.model.granted]
        return used[pick % len(used)] if used and pick % 8 == 0 else str(uuid4())
