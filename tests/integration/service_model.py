"""The service as it should be: runs, what its queues let through, and what requests have got."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from tests.integration.face import Json
from tests.integration.run_model import Executor, RunModel, Verdict


@dataclass(frozen=True)
class Granted:
    """What a claim got: the runs and their leases, in the order handed out."""

    body: Json
    leases: tuple[tuple[str, str], ...]


@dataclass
class ServiceModel:
    """
    What must be true of all runs together.

    Attributes:
        created: By idempotency key: the run and the body that made it.
        granted: By token and request id.
        registered: Sessions in the order in which they first said that they live.
    """

    runs: dict[str, RunModel] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    created: dict[str, tuple[str, Json]] = field(default_factory=dict)
    granted: dict[tuple[str, str], Granted] = field(default_factory=dict)
    registered: list[str] = field(default_factory=list)

    @property
    def live(self) -> list[str]:
        return [run_id for run_id, run in self.runs.items() if run.is_live]

    def create(self, key: str | None, body: Json) -> tuple[Verdict, str | None]:
        """What a create gets, and the run that it finds; ok without one: it makes it."""
        if key is not None and key in self.created:
            run_id, first = self.created[key]
            return ("ok", run_id) if first == body else ("idempotency-key-reused", None)
        rival = self.rival_of(body["dedupKey"])
        if rival is None:
            return "ok", None
        return ("ok" if body["onConflict"] == "return" else "run-already-active"), rival

    def rival_of(self, dedup_key: str | None) -> str | None:
        """The live run with this dedupKey."""
        if dedup_key is None:
            return None
        return next((i for i in self.live if self.runs[i].dedup_key == dedup_key), None)

    def claimable(self, queues: Collection[str]) -> set[str]:
        return {
            run_id
            for run_id, run in self.runs.items()
            if run.is_claimable and run.step_queue in queues
        }

    def still_held(self, granted: Granted) -> list[str]:
        """The runs of a repeated claim whose leases live; they are refreshed."""
        return [
            run_id
            for run_id, lease in granted.leases
            if self.runs[run_id].claim_again(lease) == "ok"
        ]

    def free_orphans(
        self,
        executor: Executor,
        *,
        named: Collection[str],
        claiming: Collection[str],
        as_of: datetime,
    ) -> set[str]:
        """The runs whose leases nobody can know he holds; they are freed."""
        freed = set()
        for run_id, run in self.runs.items():
            lease = run.lease
            if (
                lease is not None
                and run.state == "loading"
                and (lease.holder.token, lease.holder.session) == (executor.token, executor.session)
                and lease.locked_at < as_of
                and lease.id not in named
                and lease.request not in {(executor.token, each) for each in claiming}
            ):
                run.free_orphan()
                freed.add(run_id)
        return freed

    def replace(self, executor: Executor) -> set[str]:
        """The runs that other sessions of this executor held, but for its successors'."""
        if executor.session not in self.registered:
            self.registered.append(executor.session)
        successors = self.registered[self.registered.index(executor.session) + 1 :]
        lost = set()
        for run_id, run in self.runs.items():
            if (
                run.lease is not None
                and run.lease.holder.name == executor.name
                and run.lease.holder.session not in {executor.session, *successors}
            ):
                run.crash("replaced")
                lost.add(run_id)
        return lost

    def changed(self, versions: dict[str, int]) -> Iterator[str]:
        """The runs that have more events than these."""
        return (i for i, run in self.runs.items() if len(run.kinds) != versions.get(i))
