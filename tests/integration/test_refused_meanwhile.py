"""What is asked along with a claim, of requests that were parked: are they to get nothing?"""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from orchestrator.store import claims
from orchestrator.store.claims import Claimed, ClaimWish
from orchestrator.store.parked import Parked
from orchestrator.store.transaction import transact
from tests.database import Database
from tests.integration.blocking import waits_for_a_lock
from tests.integration.dibs import Dibs
from tests.integration.wishes import QUEUE, Executor, claim_wish

A_LOSS = """INSERT INTO incidents (executor, session, number, at)
            VALUES (%s, %s, 1, clock_timestamp() - make_interval(secs => %s))"""


@pytest.fixture
def wish(executor: Executor) -> ClaimWish:
    return claim_wish(executor)


def claim(dibs: Dibs, wish: ClaimWish, *, waited_seconds: float) -> Claimed:
    parked = Parked(
        (wish.token_name, wish.request_id), "key", (wish.executor, wish.session), waited_seconds
    )
    return transact(
        dibs.database.work,
        lambda connection: claims.claim(connection, QUEUE, [wish], parked=[parked]),
    )


def test_a_lease_that_is_lost_while_the_claim_is_under_way_is_seen(
    dibs: Dibs, database: Database, wish: ClaimWish
) -> None:
    """However long that takes: the run it got may be the one that it has just lost."""
    dibs.pending()
    got: list[Claimed] = []
    claiming = threading.Thread(
        target=lambda: got.append(claim(dibs, wish, waited_seconds=0.0)), daemon=True
    )
    with (
        closing(psycopg.connect(database.owner_url)) as copy,
        closing(psycopg.connect(database.owner_url, autocommit=True)) as owner,
    ):
        copy.execute(
            'INSERT INTO "claimRequests" ("tokenName", "requestId", session, "bodyHash", at,'
            ' "runIds", "leaseIds") VALUES (%s, %s, %s, %s, clock_timestamp(), %s, %s)',
            [wish.token_name, wish.request_id, wish.session, b"", [uuid4()], [uuid4()]],
        )
        claiming.start()
        assert waits_for_a_lock(owner)
        owner.execute(A_LOSS, [wish.executor, wish.session, 0])
        copy.rollback()
        claiming.join(timeout=5)

    [claimed] = got
    assert len(claimed.dealt) == 1
    assert claimed.refused == {(wish.token_name, wish.request_id)}


@pytest.mark.parametrize(("lost_seconds_ago", "is_refused"), [(5, True), (15, False), (-5, False)])
def test_only_what_was_lost_since_it_was_asked_refuses_it(
    dibs: Dibs, wish: ClaimWish, database: Database, lost_seconds_ago: int, is_refused: bool
) -> None:
    dibs.pending()
    lost: list[Any] = [wish.executor, wish.session, lost_seconds_ago]
    with closing(psycopg.connect(database.owner_url, autocommit=True)) as owner:
        owner.execute(A_LOSS, lost)

    claimed = claim(dibs, wish, waited_seconds=10.0)

    assert len(claimed.dealt) == 1
    assert bool(claimed.refused) == is_refused
