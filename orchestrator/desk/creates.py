"""Creates: a run is made once for each key, and a repeat gets the one that was made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.desk.arrivals import arrivals
from orchestrator.desk.claim_desk import ClaimDesk
from orchestrator.desk.gathering import ALONE, Alone, Gathering
from orchestrator.errors import DibsError, IdempotencyKeyReused, Overloaded, RunAlreadyActive
from orchestrator.metrics.catalogue import Desk
from orchestrator.store import runs
from orchestrator.store.activity import Counted
from orchestrator.store.engine import Database
from orchestrator.store.lock_waits import wait_briefly
from orchestrator.store.records import Run
from orchestrator.store.replication import vouch
from orchestrator.store.runs import NewRun
from orchestrator.store.tally import of_queues
from orchestrator.store.transaction import transact

TRIES = 3

Claim = Callable[[Connection, Mapping[str, int], Collection[UUID]], Mapping[str, int]]
"""What `OnArrival.claim` is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run to create; `return_active`: a live run with its dedupKey is as good."""

    run: NewRun
    return_active: bool

    @property
    def has_key(self) -> bool:
        """Whether another run may be in its way, or somebody else who lets runs in."""
        keys = (self.run.idempotency_key, self.run.dedup_key, self.run.concurrency_key)
        return any(key is not None for key in keys)


@dataclass(frozen=True, slots=True)
class Created:
    """The run, and whether this call made it."""

    run: Run
    created: bool


class _VanishedError(Exception):
    """What was in the way of a run is gone: nothing was written, try again."""


class CreateDesk:
    """
    One process's desk for creates; those of one run each share transactions.

    Whoever is parked for such a run claims it in the transaction that creates it.
    """

    def __init__(self, database: Database, claims: ClaimDesk) -> None:
        self._database = database
        self._claims = claims
        self._gathering: Gathering[Wanted, Created] = Gathering(
            self._create_each,
            self._create_one,
            note=database.metrics.gathered[Desk.CREATES].note,
        )

    def create(self, wanted: Sequence[Wanted]) -> list[Created]:
        """
        Create runs, all or none.

        Returns:
            One for each, in the order given.

        Raises:
            IdempotencyKeyReused: A key belongs to another body; `index` says whose.
            RunAlreadyActive: A live run has the same queue, workflow and dedupKey;
                `runId` names it, `index` the wish.
        """
        if len(wanted) == 1:
            return [self._gathering.ask(wanted[0])]
        return self._create_all(wanted)

    def _create_one(self, wanted: Wanted) -> Created:
        return self._create_all([wanted])[0]

    def _create_all(self, wanted: Sequence[Wanted]) -> list[Created]:
        for _ in range(TRIES):
            try:
                created, arrived = transact(
                    self._database.work, lambda connection: _create_all(connection, wanted)
                )
            except _VanishedError:
                continue
            self._note(created)
            self._database.arrived(arrived)
            return created
        raise Overloaded(
            "Other runs with the same key came and went meanwhile.", retry_after_seconds=1
        )

    def _create_each(
        self, wanted: Sequence[Wanted], committing: Callable[[], None]
    ) -> Sequence[Created | Exception | Alone]:
        def work(
            connection: Connection, claim: Claim
        ) -> tuple[Sequence[Created | DibsError | Alone], Mapping[str, int]]:
            if any(wish.has_key for wish in wanted):
                # Who holds the key of one of them is for that one to wait for.
                wait_briefly(connection)
            # Whoever shares the transaction is nobody's business: each is a request of one.
            outcomes = _create_each(connection, wanted, indexes=[0] * len(wanted))
            made = {run.id for run in _created(outcomes)}
            return outcomes, claim(connection, _arrivals(connection, outcomes), made)

        try:
            with self._claims.on_arrival() as arrival:
                outcomes, left = transact(
                    self._database.work, partial(work, claim=arrival.claim), committing=committing
                )
        except Exception:
            if not arrival.has_failed:
                raise
            # Whatever was in the claim's way is none of these runs'.
            outcomes, left = transact(
                self._database.work, partial(work, claim=_nothing), committing=committing
            )
        self._note(outcomes)
        self._database.arrived(left)
        return outcomes

    def _note(self, outcomes: Sequence[Created | DibsError | Alone]) -> None:
        self._database.tally.add(
            of_queues(Counted.CREATED, [run.step_queue for run in _created(outcomes)])
        )


def _create_all(
    connection: Connection, wanted: Sequence[Wanted]
) -> tuple[list[Created], Mapping[str, int]]:
    """Raises what is in the way of any of them: nothing is committed then."""
    answers: list[Created] = []
    for outcome in _create_each(connection, wanted, indexes=range(len(wanted))):
        if outcome is ALONE:
            raise _VanishedError
        if isinstance(outcome, DibsError):
            raise outcome
        answers.append(outcome)
    return answers, _arrivals(connection, answers)


def _nothing(
    _connection: Connection, arrived: Mapping[str, int], _made: Collection[UUID]
) -> Mapping[str, int]:
    """Claims nothing: all that has arrived is for the bell."""
    return arrived


def _arrivals(
    connection: Connection, outcomes: Sequence[Created | DibsError | Alone]
) -> Mapping[str, int]:
    return arrivals(connection, _created(outcomes))


def _created(outcomes: Sequence[Created | DibsError | Alone]) -> list[Run]:
    return [one.run for one in outcomes if isinstance(one, Created) and one.created]


def _create_each(
    connection: Connection, wanted: Sequence[Wanted], *, indexes: Sequence[int]
) -> list[Created | DibsError | Alone]:
    """
    What became of each; `ALONE`: what was in its way is gone.

    Args:
        indexes: The place of each in its request, for a refusal to name.
    """
    made = {run.id: run for run in runs.create(connection, [wish.run for wish in wanted])}
    outcomes: list[Created | DibsError | Alone] = []
    for index, wish in zip(indexes, wanted, strict=True):
        run = made.get(wish.run.id)
        try:
            outcomes.append(Created(run, created=True) if run else _existing(connection, wish))
        except DibsError as refusal:
            refusal.members["index"] = index
            outcomes.append(refusal)
        except _VanishedError:
            outcomes.append(ALONE)
    return outcomes


def _existing(connection: Connection, wish: Wanted) -> Created:
    """What was in the way of a run: itself, when its COMMIT was not answered, or another."""
    new = wish.run
    vouch(connection)
    own = runs.find(connection, new.id)
    if own is not None:
        return Created(own, created=True)
    if new.idempotency_key is not None:
        keyed = runs.find_by_idempotency_key(connection, new.created_by, new.idempotency_key)
        if keyed is not None:
            if keyed.request_hash != new.request_hash:
                raise IdempotencyKeyReused(
                    f"The Idempotency-Key made run {keyed.run.id} from another body.",
                    runId=str(keyed.run.id),
                )
            return Created(keyed.run, created=False)
    if new.dedup_key is not None:
        live = runs.find_live_by_dedup_key(
            connection, queue=new.queue, workflow=new.workflow, dedup_key=new.dedup_key
        )
        if live is not None:
            if wish.return_active:
                return Created(live, created=False)
            raise RunAlreadyActive(
                f"Run {live.id} is {live.run_state} with this dedupKey.",
                runId=str(live.id),
                runState=live.run_state,
            )
    raise _VanishedError
