"""What holders say of what they hold, and those who have held it."""

from __future__ import annotations

from datetime import datetime

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.integration.face import Json
from tests.integration.machine.claims import Claims
from tests.integration.machine.clients import Clients
from tests.integration.machine.ground import Handed, picks, values
from tests.integration.machine.time_passes import TimePasses
from tests.integration.run_model import INPUT, OVER, Executor

NEVER = "2999-01-01T00:00:00Z"


class Holders(Clients, Claims, TimePasses):
    """Reports of every outcome, step starts, renewals and releases."""

    @rule(pick=picks, choice=picks, chain=st.booleans(), steps=st.sampled_from([1, 2, 3, 4]))
    def succeed(self, pick: int, choice: int, chain: bool, steps: int) -> None:
        handed = self._handed(pick)
        for _ in range(steps):
            offered = self.offered(handed)
            following = {"next": offered[choice % len(offered)]} if offered else {}
            self._tell(handed, {"status": "success", "output": choice, **following}, chain=chain)
            model = self.model_of(handed)
            if model.state in OVER or (model.lease and model.lease.id != handed.lease_id):
                break
            handed = self._held_by_someone(handed.run_id, pick)

    @rule(pick=picks, choice=picks)
    def choose_anything(self, pick: int, choice: int) -> None:
        chosen = [None, "nowhere", *(each["name"] for each in self.steps)]
        following = chosen[choice % len(chosen)]
        outcome = {"status": "success", "output": 7} | ({"next": following} if following else {})
        self._tell(self._handed(pick), outcome)

    @rule(pick=picks, retryable=st.sampled_from([None, True, True, False]))
    def fail(self, pick: int, retryable: bool | None) -> None:
        said = {} if retryable is None else {"retryable": retryable}
        self._tell(self._handed(pick), {"status": "error", "message": "no", **said})

    @rule(pick=picks)
    def not_know(self, pick: int) -> None:
        self._tell(self._handed(pick), {"status": "unknown", "message": "it hung up"})

    @rule(pick=picks)
    def put_off(self, pick: int) -> None:
        self._tell(self._handed(pick), {"status": "later", "availableAt": NEVER})

    @rule(
        pick=picks, value=values, timeout=st.sampled_from([None, "fail", "next", "next", "wrong"])
    )
    def ask(self, pick: int, value: int, timeout: str | None) -> None:
        handed = self._handed(pick)
        waiting_for: Json = {"schema": {"const": value}}
        if timeout is not None:
            waiting_for["timeoutSeconds"] = 1000
        offered = self.offered(handed)
        if timeout == "next" and offered:
            waiting_for["onTimeout"] = {"next": offered[-1]}
        if timeout == "wrong":
            waiting_for["onTimeout"] = {"next": "nowhere"}
        self._tell(handed, {"status": "awaiting-input", "waitingFor": waiting_for})
        if timeout == "next" and value:
            self.let_time_pass_for(handed.run_id)

    @precondition(lambda self: self.handed)
    @rule(pick=picks, by=st.integers(0, 2), ahead=st.sampled_from([0, 0, 1]))
    def tell_of_another(self, pick: int, by: int, ahead: int) -> None:
        """By somebody to whom the lease may not be granted, of a step that may not be the one."""
        handed = self.handed[pick % len(self.handed)]
        executor, index = self.executors[by], handed.step_index + ahead
        outcome = {"status": "success", "output": "of another"}
        self.do(lambda: self._report(handed, outcome, executor, index, chain=True))

    def _tell(self, handed: Handed, outcome: Json, *, chain: bool = True) -> None:
        self.do(
            lambda: self._report(handed, outcome, handed.executor, handed.step_index, chain=chain)
        )

    def _report(
        self, handed: Handed, outcome: Json, executor: Executor, index: int, *, chain: bool
    ) -> None:
        model = self.model_of(handed)
        status, replayed = model.report(
            handed.lease_id, index, outcome, executor.token, chain=chain
        )
        report = {**handed.named, "stepIndex": index, "outcome": outcome}

        answer = self.send_as(executor, "/v1/reports", {"chain": chain, "reports": [report]})

        [result] = self.said(answer, "ok")["results"]
        code = result["problem"]["code"] if result["problem"] else result["status"]
        assert (code, result["replayed"]) == (status, replayed)
        if status == "continue" and model.holds(handed.lease_id, executor.token):
            self.hand(result["next"], executor)
        else:
            assert result["next"] is None

    @rule(pick=picks, by=st.integers(0, 11))
    def start(self, pick: int, by: int) -> None:
        handed = self._handed(pick)
        executor = self.executors[by] if by < len(self.executors) else handed.executor
        self.do(lambda: self._start(handed, executor))

    def _start(self, handed: Handed, executor: Executor) -> None:
        begins = self.model_of(handed).start(handed.lease_id, handed.step_index, executor.token)
        path = f"/v1/runs/{handed.run_id}/steps/{handed.step_index}/start"

        answer = self.send_as(executor, path, {"leaseId": handed.lease_id})

        self.said(answer, "ok" if begins else "lease-lost")

    @rule(pick=picks, by=st.integers(0, 11), unwanted=st.sampled_from([False, False, True]))
    def release(self, pick: int, by: int, unwanted: bool) -> None:
        handed = self._handed(pick)
        executor = self.executors[by] if by < len(self.executors) else handed.executor
        self.do(lambda: self._release(handed, executor, unwanted=unwanted))

    def _release(self, handed: Handed, executor: Executor, *, unwanted: bool) -> None:
        is_done = self.model_of(handed).release(handed.lease_id, executor.token, unwanted=unwanted)
        reason = "broken" if unwanted else "draining"

        answer = self.send_as(
            executor, "/v1/leases/release", {"leases": [handed.named], "reason": reason}
        )

        assert self.said(answer, "ok") == {
            "released": [handed.run_id] * is_done,
            "lost": [handed.lease_id] * (not is_done),
        }

    @rule(pick=picks, by=st.integers(0, 11))
    def renew(self, pick: int, by: int) -> None:
        """Renew one lease, and free nothing."""
        handed = self._handed(pick)
        executor = self.executors[by] if by < len(self.executors) else handed.executor
        self.do(lambda: self._renew(executor, [handed], [], None))

    @rule(pick=picks, named=picks, claiming=picks, late=st.sampled_from([True, True, False]))
    def beat(self, pick: int, named: int, claiming: int, late: bool) -> None:
        """
        Renew some of what a process was handed; what it knows no more may be an orphan.

        Only what was granted before its last beat, which may have been just now.
        """
        executor = self._handed(pick).executor
        if late:
            self._renew(executor, [], [], None)
        own = {each.lease_id: each for each in self.handed if each.executor == executor}
        said = [each for place, each in enumerate(own.values()) if named >> place % 6 & 1]
        awaited = [
            request_id
            for place, (token, request_id) in enumerate(self.model.granted)
            if token == executor.token and claiming >> place % 6 & 1
        ]
        as_of = self.known_time.get(executor.session)
        self.do(lambda: self._renew(executor, said, awaited, as_of))

    def _renew(
        self, executor: Executor, said: list[Handed], claiming: list[str], as_of: str | None
    ) -> None:
        held = {
            each.lease_id: self.model_of(each)
            for each in said
            if self.model_of(each).renew(each.lease_id, executor.token)
        }
        freed: set[str] = set()
        if as_of is not None:
            self.place.wake_keeper()
            freed = self.model.free_orphans(
                executor,
                named=[each.lease_id for each in said],
                claiming=claiming,
                as_of=datetime.fromisoformat(as_of),
            )
        body = {"leases": [each.named for each in said], "claiming": claiming, "asOf": as_of}

        answer = self.said(self.send_as(executor, "/v1/leases/renew", body), "ok")

        assert {each["leaseId"] for each in answer["renewed"]} == set(held)
        assert set(answer["lost"]) == {each.lease_id for each in said} - set(held)
        assert set(answer["abort"]) == {i for i, model in held.items() if model.abort_requested}
        assert set(answer["released"]) == freed
        self.known_time[executor.session] = answer["serverTime"]

    # Whom chance picks.

    def _handed(self, pick: int) -> Handed:
        """One that was handed out, stale or not; more often than not the current one of a run."""
        if pick % 4 == 0 and self.handed:
            return self.handed[pick // 4 % len(self.handed)]
        if not self.model.live:
            self.create_one()
        live = self.model.live
        return self._held_by_someone(live[pick // 4 % len(live)], pick)

    def _held_by_someone(self, run_id: str, pick: int) -> Handed:
        """What an honest executor and a helpful operator do, until the run is held."""
        model = self.model.runs[run_id]
        while model.lease is None:
            asked = model.waiting_for
            if model.state == "pending" and not model.is_claimable:
                self.let_in(model.step_queue)
            elif model.state == "pending":
                self.claim_one(run_id, self.executors[pick % len(self.executors)])
            elif asked is None:
                self.let_time_pass_for(run_id)
            elif asked["reason"] == INPUT:
                self.resume_run(run_id, asked["schema"]["const"])
            else:
                self.resolve_run(run_id, "run-again")
        return [each for each in self.handed if each.run_id == run_id][-1]
