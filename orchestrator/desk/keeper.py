"""The keeper: takes back what expired, wakes what is due, prunes what is old.

One thread in each process; an advisory lock, held for one transaction at a
time, sees to it that one of them works. Each duty is done in batches, each
batch in a transaction of its own. A batch that fails is repeated one by one, so
that one bad row never stops the rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from orchestrator.desk.arrivals import arrivals, nothing
from orchestrator.desk.gate_sweep import GateSweep
from orchestrator.desk.pruning import PRUNE_EVERY_SECONDS, Pruning
from orchestrator.desk.schedules import fire_due, fired
from orchestrator.desk.signs_of_life import SignsOfLife
from orchestrator.desk.starting_points import StartingPoints
from orchestrator.errors import DibsError, Overloaded
from orchestrator.store import (
    activity,
    bulk_acts,
    endings,
    executors,
    incidents,
    keeper,
    leases,
    schedules,
)
from orchestrator.store.activity import Counted
from orchestrator.store.engine import Database
from orchestrator.store.keeper import Tick
from orchestrator.store.tally import moved
from orchestrator.store.transaction import constraint_of, transact, words_of
from orchestrator.store.verdict import EndedLease

Item = TypeVar("Item")

# A batch is of many runs: a key that somebody holds is the business of one of them.
_arrivals = partial(arrivals, briefly=True)

Arrived = Callable[[Connection, Sequence[Item]], Mapping[str, int]]

TICK_SECONDS = 0.25
BATCH = 500
SIGNS_EVERY_TICKS = 20
# A tick that takes longer goes on at the next: a gap between ticks is an outage to
# the keeper (`store.keeper.GAP_SECONDS`), and expired leases must not wait for the rest.
TICK_WORK_SECONDS = 2.0
# On a slow database the duties of one tick take long; it is not away for that.
BEAT_AGAIN_SECONDS = 1.0
STOP_SECONDS = 6.0

log = structlog.get_logger(__name__)


class Keeper:
    """One process's keeper; `start` it once, `stop` it before the process ends."""

    def __init__(
        self,
        database: Database,
        signs: SignsOfLife,
        points: StartingPoints,
        *,
        retention_days: int,
    ):
        """
        Args:
            retention_days: How long over runs are kept; 0 keeps them for ever.
        """
        self._database = database
        self._signs = signs
        self._points = points
        self._retention_days = retention_days
        self._pruning = Pruning(retention_days=retention_days)
        self._gate_sweep = GateSweep()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._away = False
        self._beaten_at = 0.0
        self._until = 0.0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let the present batch end, and no other begin."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def tick(self) -> None:
        """
        Do every duty, if no other process does it now; what takes long goes on next time.

        Raises:
            DibsError: The database is away or busy; the next tick tries again.
        """
        beat = self._beat(keeper.duties)
        metrics = self._database.metrics
        metrics.keeper_ticks[("idle" if beat is None else "worked",)].add()
        if beat is None:
            return
        tick, duties = beat
        self._until = time.monotonic() + TICK_WORK_SECONDS
        if tick.in_aftermath:
            capped = self._each(leases.cap_expiries, leases.far_run_ids, "cap_expiries")
            if capped:
                log.info("expiries_capped", runs=len(capped))
        if duties.expire:
            self._expire(since=tick.at)
        if duties.make_due:
            for due in self._each(keeper.make_due, keeper.due_run_ids, "make_due", _arrivals):
                log.debug("run_due", run_id=str(due.run_id))
        if duties.time_out_waits:
            late_runs = self._each(
                keeper.time_out_waits, keeper.late_run_ids, "time_out_waits", _arrivals
            )
            self._database.tally.add(moved(late_runs))
            for late in late_runs:
                log.info("wait_timed_out", run_id=str(late.run_id), run_state=late.run_state)
        if duties.fire:
            fired_now = self._each(fire_due, schedules.due_names, "fire_due", fired)
            for schedule in fired_now:
                metrics.fired.add()
                if schedule.last_run_id is not None:
                    self._database.tally.count(Counted.CREATED, schedule.queue)
                log.info("schedule_fired", schedule=schedule.name)
        self._sweep_gates()
        if tick.prune_is_due:
            self._prune(tick.pruned_through)

    def _run(self) -> None:
        ticks = 0
        failed = self._database.metrics.keeper_ticks[("failed",)]
        while not self._stopping.wait(TICK_SECONDS):
            ticks += 1
            try:
                if ticks % SIGNS_EVERY_TICKS == 0:
                    self._write_signs()
                self.tick()
                self._points.refresh(self._database)
                if self._away:
                    log.info("keeper_back")
                self._away = False
            except DibsError as refusal:
                failed.add()
                if not self._away:
                    log.warning(
                        "keeper_cannot_tick", reason=refusal.message, said=words_of(refusal)
                    )
                self._away = True
            except DBAPIError as error:
                # The error's own text may hold a row: only its kind is logged.
                failed.add()
                log.error("keeper_failed", kind=type(error.orig).__name__)
            except Exception:
                failed.add()
                log.exception("keeper_failed")

    def _write_signs(self) -> None:
        seen = self._signs.take()
        if seen:
            transact(self._database.leases, lambda connection: executors.seen(connection, seen))

    def _expire(self, *, since: datetime) -> None:
        expire = partial(endings.expire, since=since)
        taken = self._each(expire, endings.expired_run_ids, "expire", self._freed)
        self._database.tally.add(moved(taken, Counted.EXPIRED))
        for lease in taken:
            log.info(
                "lease_expired",
                run_id=str(lease.run_id),
                lease_id=str(lease.lease_id),
                executor=lease.executor,
                run_state=lease.run_state,
            )

    def _beat(self, look: Callable[[Connection], Item]) -> tuple[Tick, Item] | None:
        """
        Note that the keeper is awake, and look; None when another process did so just now.

        Args:
            look: Called in the transaction that notes it.
        """

        def beat(connection: Connection) -> tuple[Tick, Item] | None:
            tick = keeper.tick(
                connection,
                every_seconds=TICK_SECONDS * 0.8,
                prune_every_seconds=PRUNE_EVERY_SECONDS,
            )
            return None if tick is None else (tick, look(connection))

        found = self._alone(beat)
        self._beaten_at = time.monotonic()
        if found is not None and found[0].amnesty_began:
            log.info("amnesty_began", since=found[0].at.isoformat())
        return found

    def _turn(self, work: Callable[[Connection], Item]) -> Item | None:
        """Do a part of a duty, and stay awake meanwhile."""
        if time.monotonic() - self._beaten_at > BEAT_AGAIN_SECONDS:
            self._beat(lambda _: None)
        return self._alone(work)

    def _alone(self, work: Callable[[Connection], Item]) -> Item | None:
        """Do something as the one keeper, or nothing when another process is it."""
        return transact(
            self._database.leases,
            lambda connection: work(connection) if keeper.take_turn(connection) else None,
        )

    def _each(
        self,
        duty: Callable[..., list[Item]],
        candidates: Callable[..., Sequence[UUID | str]],
        name: str,
        arrived: Arrived[Item] = nothing,
    ) -> Sequence[Item]:
        """
        Do a duty batch by batch until nothing is left of it, or of the time; one at least.

        Args:
            arrived: What a batch has brought to be claimed, by queue; asked in its transaction.
        """
        done: list[Item] = []
        while not self._stopping.is_set():
            try:
                batch = self._do(partial(duty, limit=BATCH), arrived)
            except Overloaded as busy:
                # What somebody holds locked is one item's, and keeps no other waiting.
                log.warning("keeper_batch_waits", duty=name, reason=busy.message)
                done += self._one_by_one(duty, candidates, name, arrived)
                break
            except DBAPIError as error:
                log.error("keeper_batch_failed", duty=name, constraint=constraint_of(error))
                done += self._one_by_one(duty, candidates, name, arrived)
                break
            done += batch
            if len(batch) < BATCH or time.monotonic() > self._until:
                break
        return done

    def _one_by_one(
        self,
        duty: Callable[..., list[Item]],
        candidates: Callable[..., Sequence[UUID | str]],
        name: str,
        arrived: Arrived[Item],
    ) -> list[Item]:
        done: list[Item] = []
        for one in self._turn(partial(candidates, limit=BATCH)) or []:
            try:
                done += self._do(partial(duty, limit=1, only=one), arrived)
            except Overloaded as busy:
                log.warning("keeper_item_waits", duty=name, item=str(one), reason=busy.message)
            except DBAPIError as error:
                log.error(
                    "keeper_item_failed",
                    duty=name,
                    item=str(one),
                    constraint=constraint_of(error),
                )
            if time.monotonic() > self._until:
                break
        return done

    def _do(self, duty: Callable[[Connection], list[Item]], arrived: Arrived[Item]) -> list[Item]:
        """Do one batch of a duty, and ring for what it has brought."""

        def work(connection: Connection) -> tuple[list[Item], Mapping[str, int]]:
            batch = duty(connection)
            return batch, arrived(connection, batch)

        done = self._turn(work)
        if done is None:
            return []
        self._database.arrived(done[1])
        return done[0]

    def _freed(self, connection: Connection, ended: Sequence[EndedLease]) -> Mapping[str, int]:
        return _arrivals(connection, ended) + self._database.limits.freed(ended)

    def _sweep_gates(self) -> None:
        swept = self._turn(self._gate_sweep.step) if self._gate_sweep.is_due else None
        if swept is None:
            return
        self._gate_sweep.go_on(swept)
        if swept.let_in:
            self._database.arrived(swept.let_in)
            log.info("runs_let_in", runs=sum(swept.let_in.values()))
        if swept.held_back:
            log.info("runs_held_back", runs=swept.held_back)

    def _prune(self, after: UUID | None) -> None:
        step = self._turn(partial(self._pruning.step, after=after))
        if step is None:
            return
        if step.runs:
            self._database.metrics.pruned.add(step.runs)
            log.info("runs_pruned", runs=step.runs)
        if not step.goes_on:
            self._turn(executors.drop_unseen)
            self._turn(incidents.drop_old)
            self._turn(bulk_acts.drop_old)
            self._turn(partial(activity.drop_old, retention_days=self._retention_days))
