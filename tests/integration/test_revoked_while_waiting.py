"""A claim that waits is worth what its token is worth when a run comes."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from orchestrator.desk.wishes import ClaimAnswer
from tests.acceptance.waiting import eventually
from tests.integration.dibs import Dibs
from tests.integration.gathered import WAIT_SECONDS
from tests.integration.wishes import Executor

KEY_ID = "stolen"


@pytest.fixture
def token(dibs: Dibs, executor: Executor) -> str:
    """The id of the executor's token."""
    dibs.sql(
        'INSERT INTO "accessTokens" ("keyId", name, role, "secretHash", queues, "createdAt")'
        " VALUES (%s, %s, 'executor', %s, '{*}', now())",
        KEY_ID,
        executor.token,
        bytes(32),
    )
    return KEY_ID


def park(
    dibs: Dibs, executor: Executor, key_id: str, threads: ThreadPoolExecutor, request_id: UUID
) -> Future[ClaimAnswer]:
    parked = threads.submit(
        dibs.claim, executor, key_id=key_id, wait_seconds=25.0, request_id=request_id
    )
    eventually(lambda: dibs.desk.parked)
    return parked


@pytest.mark.parametrize("column", ["revokedAt", "expiresAt"])
def test_a_parked_claim_whose_token_is_no_good_any_more_gets_nothing(
    dibs: Dibs, executor: Executor, other: Executor, token: str, column: str
) -> None:
    with ThreadPoolExecutor(1) as threads:
        parked = park(dibs, executor, token, threads, uuid4())
        dibs.sql(f"""UPDATE "accessTokens" SET "{column}" = clock_timestamp()""")
        run = dibs.pending()

        assert parked.result(WAIT_SECONDS).dispatches == ()
    assert dibs.state(run.id) == "pending"
    assert [each.run.id for each in dibs.claim(other).dispatches] == [run.id]


def test_a_parked_copy_is_not_told_what_the_first_got(
    dibs: Dibs, executor: Executor, token: str
) -> None:
    request_id = uuid4()
    with ThreadPoolExecutor(1) as threads:
        parked = park(dibs, executor, token, threads, request_id)
        dibs.sql('UPDATE "accessTokens" SET "revokedAt" = clock_timestamp()')
        dibs.sql(
            'INSERT INTO "claimRequests" ("tokenName", "requestId", session, "bodyHash", at,'
            ' "runIds", "leaseIds") VALUES (%s, %s, %s, %s, now(), %s, %s)',
            executor.token,
            request_id,
            executor.session,
            b"b" * 32,
            [uuid4()],
            [uuid4()],
        )
        dibs.desk._look()

        got = parked.result(WAIT_SECONDS)
    assert (got.dispatches, got.replayed) == ((), False)


def test_one_whose_token_is_good_gets_the_run(dibs: Dibs, executor: Executor, token: str) -> None:
    with ThreadPoolExecutor(1) as threads:
        parked = park(dibs, executor, token, threads, uuid4())
        dibs.sql("""UPDATE "accessTokens" SET "expiresAt" = now() + interval '1 hour'""")
        run = dibs.pending()

        got = parked.result(WAIT_SECONDS)
    assert [each.run.id for each in got.dispatches] == [run.id]
