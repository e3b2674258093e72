"""A run as it should be: design §4 once more, in plain Python, one run at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.integration.face import Json

LEASED = ("loading", "started")
OVER = ("finished", "failed", "aborted")
INPUT, UNKNOWN = "input", "outcome-unknown"
MAX_FAILURES, MAX_CRASHES = 3, 2

# What the model says of an answer: `ok`, or the refusal's code.
Verdict = str


@dataclass(frozen=True)
class Executor:
    """One start of a process that claims; `instance` None: it goes by its token's name."""

    token: str
    instance: str | None
    session: str

    @property
    def name(self) -> str:
        return f"{self.token}:{self.instance}" if self.instance else self.token


@dataclass(frozen=True)
class Lease:
    """A lease as Dibs has given it; `request` is the claim's, by token and request id."""

    id: str
    fence: int
    locked_at: datetime
    holder: Executor
    request: tuple[str, str]


@dataclass
class RunModel:
    """
    What must be seen of one run.

    Attributes:
        paused: The queues that are, also of others.
        expired: The lease's time is over, and nobody has taken it back yet.
        kinds: The events of its ledger.
        holders: The token of each lease that there ever was.
        acted: By actor and key, what an act has left in the ledger, and its body.
    """

    steps: dict[str, Json]
    queue: str
    name: str
    paused: set[str] = field(default_factory=set)
    dedup_key: str | None = None
    index: int = 0
    state: str = "pending"
    lease: Lease | None = None
    expired: bool = False
    fence: int = 0
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    releases: int = 0
    marked: bool = False
    abort_requested: bool = False
    waiting_for: Json | None = None
    resumed_by: list[Any] = field(default_factory=list)
    error: str | None = None
    output: Any = None
    begun: set[int] = field(default_factory=set)
    results: dict[int, tuple[str, Any]] = field(default_factory=dict)
    told: dict[tuple[str, int], tuple[Json, str]] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=lambda: ["created"])
    holders: dict[str, str] = field(default_factory=dict)
    acted: dict[tuple[str, str], tuple[str, Json]] = field(default_factory=dict)

    # What is seen.

    @property
    def step(self) -> Json:
        return self.steps[self.name]

    @property
    def step_queue(self) -> str:
        return self.step.get("queue") or self.queue

    @property
    def is_live(self) -> bool:
        return self.state not in OVER

    def holds(self, lease: str, token: str) -> bool:
        return self.lease is not None and (self.lease.id, self.lease.holder.token) == (lease, token)

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
            "fence": self.fence,
            "lockedBy": self.lease and self.lease.holder.name,
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

    @property
    def is_claimable(self) -> bool:
        return self.state == "pending" and self.step_queue not in self.paused

    def claim(self) -> Verdict:
        """What a claim gets; what it is granted is to be `hold`."""
        return "ok" if self.is_claimable else self._not_claimable()

    def claim_with(self, value: int) -> Verdict:
        if not self._asks():
            return self._not_claimable()
        if value != self._expected():
            return "validation"
        if self.step_queue in self.paused:
            return "run-not-claimable"
        self._resume(value)
        return "ok"

    def hold(self, lease: Lease) -> None:
        """It is granted: the only way to a lease."""
        assert lease.id not in self.holders
        assert lease.fence > self.fence
        self.state, self.attempt = "loading", self.attempt + 1
        self.lease, self.fence, self.expired = lease, lease.fence, False
        self.holders[lease.id] = lease.holder.token
        self.kinds.append("claimed")

    def claim_again(self, lease: str) -> Verdict:
        """What the claim gets that was granted this lease, when it is repeated."""
        if self.lease is not None and self.lease.id == lease:
            self.expired = False
            return "ok"
        if self.state in OVER:
            return "run-over"
        return "run-held" if self.state in LEASED else "lease-lost"

    def resume(self, value: int) -> Verdict:
        if not self._asks():
            return "run-over" if self.state in OVER else "state-conflict"
        if value != self._expected():
            return "validation"
        self._resume(value)
        return "ok"

    def _asks(self) -> bool:
        return self.waiting_for is not None and self.waiting_for["reason"] == INPUT

    def _expected(self) -> Any:
        assert self.waiting_for is not None
        return self.waiting_for["schema"]["const"]

    def _resume(self, value: int) -> None:
        self.waiting_for, self.resumed_by, self.state = None, [value], "pending"
        self.kinds.append("resumed")

    def _not_claimable(self) -> Verdict:
        if self.state in OVER:
            return "run-over"
        return "run-held" if self.state in LEASED else "run-not-claimable"

    # The holder.

    def renew(self, lease: str, token: str) -> bool:
        if not self.holds(lease, token):
            return False
        if self.state == "loading":
            self.kinds.append("started")
        self.state, self.expired = "started", False
        return True

    def start(self, lease: str, index: int, token: str) -> bool:
        if not self.holds(lease, token) or self.index != index:
            return False
        if not self.marked:
            self.kinds.append("step-started")
        self.state, self.marked = "started", True
        self.begun.add(index)
        return True

    def report(
        self, lease: str, index: int, outcome: Json, token: str, *, chain: bool
    ) -> tuple[str, bool]:
        """The status or the refusal's code, and whether it is a replay."""
        if self.holders.get(lease) != token:
            return "lease-lost", False
        if (lease, index) in self.told:
            stored, status = self.told[lease, index]
            return (status, True) if stored == outcome else ("outcome-conflict", False)
        if not self.holds(lease, token):
            return "lease-lost", False
        if self.index != index:
            return "step-out-of-order", False
        self.kinds.append("reported")
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
            goes_on = chain and stays and self.step_queue not in self.paused
            return "started" if goes_on else "pending"
        if kind == "error":
            budget = self.step["retry"].get("maxFailures", MAX_FAILURES)
            return "scheduled" if retryable and self.failures + 1 < budget else "failed"
        return "waiting" if kind == "awaiting-input" else "scheduled"

    def _move_to(self, following: str | None) -> None:
        if following is not None:
            self.name, self.index = following, self.index + 1
            self.failures, self.resumed_by = 0, []

    def _end_lease(self, state: str) -> None:
        self.state, self.marked, self.expired = state, False, False
        self.releases = 0
        if state not in LEASED:
            self.lease = None

    # A lease that ends without a report.

    def expire(self) -> None:
        """The keeper looks at it."""
        if self.expired:
            self.crash("expired")

    def crash(self, kind: str) -> None:
        """Its holder is known to be dead, by time or by its successor's word."""
        self.crashes += 1
        spent = not self.marked and not self.abort_requested and self.crashes >= MAX_CRASHES
        if spent:
            self.error = "crashed-too-often"
        self._end_without_report(kind, "failed" if spent else "pending")

    def release(self, lease: str, token: str, *, unwanted: bool) -> bool:
        if not self.holds(lease, token):
            return False
        releases = self.releases + unwanted
        self._end_without_report("released", "scheduled" if unwanted else "pending")
        self.releases = releases
        return True

    def free_orphan(self) -> None:
        self._end_without_report("orphaned", "pending")

    def _end_without_report(self, kind: str, otherwise: str) -> None:
        self.kinds.append(kind)
        releases = self.releases
        if self.marked:
            self.waiting_for = {"reason": UNKNOWN}
            self._end_lease("waiting")
        else:
            self._end_lease("aborted" if self.abort_requested else otherwise)
        self.releases = releases

    # Time.

    def let_time_pass(self) -> None:
        if self.state == "scheduled":
            self.state = "pending"
            self.kinds.append("due")
        elif self._asks():
            assert self.waiting_for is not None
            if "timeoutSeconds" not in self.waiting_for:
                return
            following = (self.waiting_for.get("onTimeout") or {}).get("next")
            self.waiting_for = None
            self.kinds.append("timed-out")
            self.state = "pending" if following else "failed"
            self.error = None if following else "input-timed-out"
            self._move_to(following)

    # Acts.

    def act(
        self,
        actor: str,
        key: str | None,
        kinds: tuple[str, ...],
        body: Json,
        do: Callable[[], Verdict],
    ) -> Verdict:
        """What an act gets that leaves an event of one of these kinds, unless its key is known."""
        if key is not None and (actor, key) in self.acted:
            is_the_same = self.acted[actor, key][0] in kinds and self.acted[actor, key][1] == body
            return "ok" if is_the_same else "idempotency-key-reused"
        verdict = do()
        if key is not None and verdict == "ok":
            self.acted[actor, key] = (self.kinds[-1], body)
        return verdict

    def abort(self, *, keyed: bool) -> Verdict:
        if self.state in OVER:
            return "run-over"
        if self.waiting_for is not None and self.waiting_for["reason"] == UNKNOWN:
            return "state-conflict"
        if self.lease is None:
            self.state, self.waiting_for = "aborted", None
            self.kinds.append("aborted")
        elif keyed or not self.abort_requested:
            self.kinds.append("abort-requested")
        self.abort_requested = True
        return "ok"

    def retry(self, *, has_rival: bool) -> Verdict:
        if self.state == "finished":
            return "run-over"
        if self.state not in OVER:
            return "state-conflict"
        if has_rival:
            return "run-already-active"
        self.kinds.append("retried")
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
            self.kinds.append("resolved")
            following = following or (offered[0] if offered else None)
            self.results[self.index] = (self.name, "resolved")
            self.error, self.failures, self.resumed_by = None, 0, []
            if following is None:
                self.state, self.output = "finished", "resolved"
            else:
                self.state = "aborted" if self.abort_requested else "pending"
            self._move_to(following)
        elif as_ == "run-again":
            self.kinds.append("resolved")
            self.index += 1
            self._begin_again()
        else:
            self.kinds.append("resolved")
            self.state = "aborted"
        self.waiting_for = None
        return "ok"

    def _begin_again(self) -> None:
        self.state, self.error, self.abort_requested = "pending", None, False
        self.failures = self.crashes = self.releases = 0
