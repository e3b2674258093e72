"""What happens by itself: leases expire, what is due comes, processes die and begin anew."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import orjson
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.integration.machine.ground import Ground, picks
from tests.integration.run_model import Executor


class TimePasses(Ground):
    """Rows are aged, and the keeper's own functions look at one run at a time."""

    @initialize()
    def know_no_time(self) -> None:
        # By session: the server's time of the last renewal that was answered.
        self.known_time: dict[str, str] = {}

    @precondition(lambda self: self.ids)
    @rule(pick=picks, taken=st.sampled_from([True, True, False]))
    def expire(self, pick: int, taken: bool) -> None:
        """A lease expires. The keeper may be late: until it has looked, the lease lives."""
        run_id = self.run(pick, "loading", "started")
        self.place.face.sql(
            'UPDATE "workflowRuns" SET "leaseExpiresAt" = now() - interval \'1 s\' WHERE id = %s'
            ' AND "leaseId" IS NOT NULL',
            run_id,
        )
        model = self.model.runs[run_id]
        model.expired = model.lease is not None
        if taken:
            self._look_at(run_id)

    @precondition(lambda self: self.ids)
    @rule(pick=picks)
    def look(self, pick: int) -> None:
        """The keeper looks at a run, whose lease may have been renewed, or granted anew."""
        self._look_at(self.run(pick, "loading", "started"))

    def _look_at(self, run_id: str) -> None:
        self.place.expire(run_id)
        self.model.runs[run_id].expire()

    @precondition(lambda self: self.ids)
    @rule(pick=picks)
    def let_time_pass(self, pick: int) -> None:
        self.let_time_pass_for(self.run(pick, "scheduled", "waiting"))

    def let_time_pass_for(self, run_id: str) -> None:
        self.place.face.sql(
            'UPDATE "workflowRuns" SET "availableAt" = now() - interval \'1 s\' WHERE id = %s'
            """ AND "runState" IN ('scheduled', 'waiting') AND "availableAt" IS NOT NULL""",
            run_id,
        )
        self.place.wake(run_id)
        self.model.runs[run_id].let_time_pass()

    @rule(by=st.integers(0, 2), replaces=st.booleans())
    def die(self, by: int, replaces: bool) -> None:
        """
        An executor's process dies, and another begins, which knows nothing.

        It may say that no other of its name lives: then what they held ends at once.
        """
        successor = replace(self.executors[by], session=str(uuid4()))
        self.executors[by] = successor
        if replaces:
            self.do(lambda: self._register(successor))

    def _register(self, executor: Executor) -> None:
        lost = self.model.replace(executor)

        answer = self.place.face.app.test_client().put(
            f"/v1/executors/{executor.instance}",
            json={"session": executor.session, "replaces": "others"},
            headers=self.place.bearer(executor.token),
        )

        assert answer.status_code == 200, answer.text
        assert set(orjson.loads(answer.data)["released"]) == lost
        self.place.forgive()

    @rule(pick=picks)
    def restart(self, pick: int) -> None:
        """Now and then (it takes long) an orchestrator is replaced by one that knows nothing."""
        if pick % 12 == 0:
            self.place.restart(pick // 12 % 2)
