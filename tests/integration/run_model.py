"""A run as it should be: design §4 once more, in plain Python, one run at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.integration.face import Json

LEASED = ("loading", "started")
OVER = ("finished", "failed", "aborted")
INPUT, UNKNOWN = "input", "outcome-unknown"
MAX_FAILURES, MAX_CRASHES = 3, 2

# What the model says of an answer: `ok`, or the refusal's code.
Verdict = str


@dataclass
class RunModel:
    """What must be seen of one run; `lease` is the id that Dibs gave, None without one."""

    steps: dict[str, Json]
    queue: str
    name: str
    index: int = 0
    state: str = "pending"
    lease: str | None = None
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    marked: bool = False
    abort_requested: bool = False
    waiting_for: Json | None = None
    resumed_by: list[Any] = field(default_factory=list)
    error: str | None = None
    output: Any = None
    begun: set[int] = field(default_factory=set)
    results: dict[int, tuple[str, Any]] = field(default_factory=dict)
    told: dict[tuple[str, int], tuple[Json, str]] = field(default_factory=dict)

    # What is seen.

    @property
    def step(self) -> Json:
        return self.steps[self.name]

    @property
    def step_queue(self) -> str:
        return self.step.get("queue") or self.queue

    def seen(self) -> Json:
        """The members of a run that the model knows."""
        return {
            "runState": self.state,
            "stepName": self.name,
            "stepIndex": self.index,
            "stepQueue": self.step_queue,
            "attempt": self.attempt,
            "failures": self.failures,
            "crashes": self.crashes,
            "output": self.output,
        }

    def dispatched(self) -> Json:
        """The members of a dispatch's step that the model knows."""
        uses = self.step["uses"]
        earlier = {at: result for at, result in self.results.items() if at < self.index}
        if uses:
            outputs = {name: out for _, (name, out) in sorted(earlier.items()) if name in uses}
        else:
            outputs = dict([earlier[max(earlier)]]) if earlier else {}
        return {
            "index": self.index,
            "name": self.name,
            "input": self.resumed_by[0] if self.resumed_by else {"of": "the run"},
            "resumed": bool(self.resumed_by),
            "outputs": outputs,
            "mutating": self.step["mutating"],
        }

    # Claims and input.

    def claim(self) -> Verdict:
        if self.state == "pending":
            return self._lease()
        return self._not_claimable()

    def claim_with(self, value: int) -> Verdict:
        if self._asks():
            assert self.waiting_for is not None
            if value != self.waiting_for["schema"]["const"]:
                return "validation"
            self.waiting_for, self.resumed_by = None, [value]
            return self._lease()
        return self._not_claimable()

    def resume(self, value: int) -> Verdict:
        if self._asks():
            assert self.waiting_for is not None
            if value != self.waiting_for["schema"]["const"]:
                return "validation"
            self.waiting_for, self.resumed_by, self.state = None, [value], "pending"
            return "ok"
        return "run-over" if self.state in OVER else "state-conflict"

    def _asks(self) -> bool:
        return self.waiting_for is not None and self.waiting_for["reason"] == INPUT

    def _not_claimable(self) -> Verdict:
        if self.state in OVER:
            return "run-over"
        return "run-held" if self.state in LEASED else "run-not-claimable"

    def _lease(self) -> Verdict:
        self.state, self.attempt = "loading", self.attempt + 1
        return "ok"

    # The holder.

    def renew(self, lease: str) -> bool:
        if self.lease != lease:
            return False
        self.state = "started"
        return True

    def start(self, lease: str, index: int) -> bool:
        if (self.lease, self.index) != (lease, index):
            return False
        self.state, self.marked = "started", True
        self.begun.add(index)
        return True

    def report(self, lease: str, index: int, outcome: Json, *, chain: bool) -> tuple[str, bool]:
        """The status or the refusal's code, and whether it is a replay."""
        if (lease, index) in self.told:
            stored, status = self.told[lease, index]
            return (status, True) if stored == outcome else ("outcome-conflict", False)
        if (self.lease, self.index) != (lease, index):
            return "lease-lost", False
        status = self._judge(outcome, chain=chain)
        self.told[lease, index] = (outcome, status)
        return status, False

    def _judge(self, outcome: Json, *, chain: bool) -> str:
        offered = self.step["next"]
        kind, following = outcome["status"], None
        retryable: bool | None = outcome.get("retryable")
        if kind == "success":
            following = outcome.get("next") or (offered[0] if len(offered) == 1 else None)
            if (following is None and offered) or (following and following not in offered):
                kind, following, retryable = "error", None, False
        elif kind == "awaiting-input":
            named = (outcome["waitingFor"].get("onTimeout") or {}).get("next")
            if named and named not in offered:
                kind, retryable = "error", False
        if retryable is None:
            retryable = not (self.marked or self.step["mutating"])
        state = self._state_after(kind, following, retryable=retryable, chain=chain)

        if kind == "success":
            self.results[self.index] = (self.name, outcome["output"])
            self.error = None
        elif kind == "error":
            self.failures += 1
            spent = "failed-too-often" if retryable else "step-failed"
            self.error = spent if state == "failed" else "step-error"
        elif kind == "awaiting-input":
            self.resumed_by = []
        if state == "finished":
            self.output = outcome["output"]
        if state == "waiting":
            waiting = outcome["waitingFor"] if kind == "awaiting-input" else {}
            self.waiting_for = {**waiting, "reason": INPUT if waiting else UNKNOWN}
        self._move_to(following)
        self._end_lease(state)
        return "continue" if state == "started" else state

    def _state_after(
        self, kind: str, following: str | None, *, retryable: bool, chain: bool
    ) -> str:
        if kind == "success" and following is None:
            return "finished"
        if kind == "unknown":
            return "waiting"
        if self.abort_requested:
            return "aborted"
        if kind == "success":
            assert following is not None
            stays = (self.steps[following].get("queue") or self.queue) == self.step_queue
            return "started" if chain and stays else "pending"
        if kind == "error":
            budget = self.step["retry"].get("maxFailures", MAX_FAILURES)
            return "scheduled" if retryable and self.failures + 1 < budget else "failed"
        return "waiting" if kind == "awaiting-input" else "scheduled"

    def _move_to(self, following: str | None) -> None:
        if following is not None:
            self.name, self.index = following, self.index + 1
            self.failures, self.resumed_by = 0, []

    def _end_lease(self, state: str) -> None:
        self.state, self.marked = state, False
        if state not in LEASED:
            self.lease = None

    # A lease that ends without a report.

    def expire(self) -> None:
        if self.lease is None:
            return
        self.crashes += 1
        if not self.marked and not self.abort_requested and self.crashes >= MAX_CRASHES:
            self.error = "crashed-too-often"
            self._end_lease("failed")
        else:
            self._end_without_report()

    def release(self, lease: str) -> None:
        if self.lease == lease:
            self._end_without_report()

    def _end_without_report(self) -> None:
        if self.marked:
            self.waiting_for = {"reason": UNKNOWN}
            self._end_lease("waiting")
        else:
            self._end_lease("aborted" if self.abort_requested else "pending")

    # Time.

    def let_time_pass(self) -> None:
        if self.state == "scheduled":
            self.state = "pending"
        elif self._asks():
            assert self.waiting_for is not None
            if "timeoutSeconds" not in self.waiting_for:
                return
            following = (self.waiting_for.get("onTimeout") or {}).get("next")
            self.waiting_for = None
            self.state = "pending" if following else "failed"
            self.error = None if following else "input-timed-out"
            self._move_to(following)

    # Acts.

    def abort(self) -> Verdict:
        if self.state in OVER:
            return "run-over"
        if self.waiting_for is not None and self.waiting_for["reason"] == UNKNOWN:
            return "state-conflict"
        self.abort_requested = True
        if self.lease is None:
            self.state, self.waiting_for = "aborted", None
        return "ok"

    def retry(self) -> Verdict:
        if self.state == "finished":
            return "run-over"
        if self.state not in OVER:
            return "state-conflict"
        self.index += self.index in self.begun
        self._begin_again()
        return "ok"

    def resolve(self, as_: str, following: str | None) -> Verdict:
        if self.state in OVER:
            return "run-over"
        if self.waiting_for is None or self.waiting_for["reason"] != UNKNOWN:
            return "state-conflict"
        offered = self.step["next"]
        if as_ == "done":
            if following not in offered if following else len(offered) > 1:
                return "state-conflict"
            following = following or (offered[0] if offered else None)
            self.results[self.index] = (self.name, "resolved")
            self.error, self.failures, self.resumed_by = None, 0, []
            if following is None:
                self.state, self.output = "finished", "resolved"
            else:
                self.state = "aborted" if self.abort_requested else "pending"
            self._move_to(following)
        elif as_ == "run-again":
            self.index += 1
            self._begin_again()
        else:
            self.state = "aborted"
        self.waiting_for = None
        return "ok"

    def _begin_again(self) -> None:
        self.state, self.error, self.abort_requested = "pending", None, False
        self.failures = self.crashes = 0
