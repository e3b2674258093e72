"""The machine: every rule, any request once more, and what must be true after each."""

from __future__ import annotations

from hypothesis.stateful import invariant, precondition, rule

from tests.integration.face import Json
from tests.integration.machine.ground import picks
from tests.integration.machine.holders import Holders
from tests.integration.run_model import RunModel


class Runs(Holders):
    """Runs of one random definition, from their creation on."""

    def __init__(self) -> None:
        super().__init__()
        # By run: the events that have been held to the rules.
        self.checked: dict[str, int] = {}

    @precondition(lambda self: self.asked)
    @rule(pick=picks, times=picks)
    def repeat(self, pick: int, times: int) -> None:
        """Whatever was asked before, as it was asked, is asked again: late, or lately."""
        ask = self.asked[-1 - pick % 4] if pick % 4 < min(len(self.asked), times % 4) else None
        ask = ask or self.asked[times % len(self.asked)]
        ask()

    @invariant()
    def every_row_is_as_the_model_says(self) -> None:
        rows = self.place.rows(self.ids)
        for run_id, model in self.model.runs.items():
            _compare(rows[run_id], model)

    @invariant()
    def every_ledger_tells_what_was_done(self) -> None:
        changed = list(self.model.changed(self.checked))
        if not changed:
            return
        for history in self.place.histories(changed):
            model = self.model.runs[str(history.run_id)]
            assert [event.kind for event in history.events] == model.kinds
            self.checked[str(history.run_id)] = len(model.kinds)

    def teardown(self) -> None:
        results = self.place.results(self.ids)
        for run_id, model in self.model.runs.items():
            assert results.get(run_id, {}) == model.results
        if self.ids:
            # The others are read by their rows alone: reading is what takes longest.
            run_id = self.ids[-1]
            run, seen = self.place.face.run(run_id), self.model.runs[run_id].seen()
            assert {name: run[name] for name in seen} == seen


def _compare(row: Json, model: RunModel) -> None:
    seen = model.seen()
    assert {name: row[name] for name in seen} == seen
    assert row["version"] == len(model.kinds)
    assert (row["error"] or {}).get("code") == model.error
    assert (row["waitingFor"] or {}).get("reason") == (model.waiting_for or {}).get("reason")
    assert row["releases"] == model.releases
    assert bool(row["abortRequestedAt"]) == model.abort_requested
    assert bool(row["mutatingSince"]) == model.marked
    lease = model.lease
    held = (str(row["leaseId"]), str(row["lockedSession"])) if row["leaseId"] else None
    assert held == (lease and (lease.id, lease.holder.session))
