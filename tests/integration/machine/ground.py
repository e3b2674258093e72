"""What all rules stand on: the runs of one example, who claims, and what was asked so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import uuid4

import orjson
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize
from werkzeug.test import TestResponse

from orchestrator.lifecycle import Role
from tests.integration.face import Headers, Json, fresh_name
from tests.integration.machine.place import STRANGER, Place
from tests.integration.random_definitions import definitions
from tests.integration.run_model import Executor, Lease, RunModel
from tests.integration.service_model import ServiceModel

# Drawn evenly, which integers are not: small ones come more often.
picks = st.sampled_from(range(48))
values = st.integers(0, 2)
keys = st.sampled_from([None, None, "a", "b"])

Ask = Callable[[], None]


@dataclass(frozen=True)
class Handed:
    """A step that was handed out under a lease; the run may be elsewhere by now."""

    run_id: str
    lease_id: str
    step_index: int
    step_name: str
    executor: Executor

    @property
    def named(self) -> Json:
        return {"leaseId": self.lease_id, "runId": self.run_id}


class Ground(RuleBasedStateMachine):
    """Every rule asks Dibs and the model the same, and compares."""

    place: ClassVar[Place]

    def __init__(self) -> None:
        super().__init__()
        self.model = ServiceModel()
        self.asked: list[Ask] = []
        # Every one that there was: one whose lease is gone may still speak.
        self.handed: list[Handed] = []

    @initialize(steps=definitions())
    def define(self, steps: list[Json]) -> None:
        self.queue = fresh_name("queue")
        # A queue elsewhere is elsewhere for each example.
        self.elsewhere = f"{self.queue}-elsewhere"
        self.queues = [self.queue, self.elsewhere]
        self.steps = [
            {**each, "queue": self.elsewhere if each["queue"] else None} for each in steps
        ]
        self.workflow = self.place.face.define(*self.steps)
        self.executors = [
            Executor(token, fresh_name("instance"), str(uuid4()))
            for token in ("executor", "executor", STRANGER)
        ]

    def do(self, ask: Ask) -> None:
        """
        Ask, and keep what was asked to be asked again.

        Every third time it is asked again at once, as by one whose reply was lost.
        """
        ask()
        self.asked.append(ask)
        if len(self.asked) % 3 == 0:
            ask()

    # Who asks, and what is compared.

    def send(
        self, role: Role, path: str, body: Json, headers: Headers | None = None
    ) -> TestResponse:
        return self.place.face.send(role, "POST", path, body, headers)

    def send_as(self, executor: Executor, path: str, body: Json) -> TestResponse:
        whole = {"session": executor.session, "executor": executor.instance, **body}
        return self.send(Role.EXECUTOR, path, whole, self.place.bearer(executor.token))

    def said(self, answer: TestResponse, expected: str) -> Json:
        """The answer, which must be this refusal's code, or ok."""
        parsed: Json = orjson.loads(answer.data)
        said = "ok" if answer.status_code in (200, 201) else parsed["code"]
        assert said == expected, answer.text
        return parsed

    def hold(self, dispatch: Json, executor: Executor, request_id: str) -> None:
        """Note a new lease, and see that its dispatch is what it must be."""
        run_id, lease = dispatch["run"]["id"], dispatch["lease"]
        row = self.place.rows([run_id])[run_id]
        self.model.runs[run_id].hold(
            Lease(
                lease["id"],
                lease["fence"],
                row["lockedAt"],
                executor,
                (executor.token, request_id),
            )
        )
        self.hand(dispatch, executor)

    def hand(self, dispatch: Json, executor: Executor) -> None:
        """A step is handed out under the lease that the run has."""
        model = self.model.runs[dispatch["run"]["id"]]
        assert model.lease is not None
        assert dispatch["lease"]["id"] == model.lease.id
        assert dispatch["lease"]["fence"] == model.fence
        expected = model.dispatched()
        assert {name: dispatch["step"][name] for name in expected} == expected
        step = dispatch["step"]
        self.handed.append(
            Handed(dispatch["run"]["id"], model.lease.id, step["index"], step["name"], executor)
        )

    # What chance picks.

    @property
    def ids(self) -> list[str]:
        return list(self.model.runs)

    def run(self, pick: int, *states: str) -> str:
        """One of the runs; more often than not one in these states."""
        fitting = [i for i in self.ids if self.model.runs[i].state in states]
        chosen = fitting if fitting and pick % 4 else self.ids
        return chosen[pick % len(chosen)]

    def model_of(self, handed: Handed) -> RunModel:
        return self.model.runs[handed.run_id]

    def offered(self, handed: Handed) -> list[Any]:
        """The steps that may follow."""
        offered: list[Any] = self.model_of(handed).steps[handed.step_name]["next"]
        return offered
