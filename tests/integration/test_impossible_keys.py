"""Keys, tokens and keepers that the database refuses by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from tests.database import Database
from tests.integration.raw_rows import THEN, insert, insert_run

TOKEN = {
    "keyId": "k",
    "name": "web",
    "role": "client",
    "secretHash": b"h" * 32,
    "queues": ["*"],
    "createdAt": THEN,
}
ANOTHER_RUN = "01900000-0000-7000-8000-000000000002"


@pytest.fixture
def owner(module_database: Database) -> Iterator[psycopg.Connection]:
    """A transaction of the owner's that is rolled back."""
    with closing(psycopg.connect(module_database.owner_url)) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def service(module_database: Database) -> Iterator[psycopg.Connection]:
    """A transaction of the service's that is rolled back."""
    with closing(psycopg.connect(module_database.service_url)) as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize("who", ["owner", "service"])
@pytest.mark.parametrize(
    ("key", "refused_by"),
    [("dedupKey", "workflowRuns_dedup"), ("idempotencyKey", "workflowRuns_idempotency")],
)
def test_a_second_run_of_a_key_is_refused(
    request: pytest.FixtureRequest, who: str, key: str, refused_by: str
) -> None:
    session = request.getfixturevalue(who)
    insert_run(session, "waiting", **{key: "order-7"})

    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        insert_run(session, "pending", id=ANOTHER_RUN, **{key: "order-7"})
    assert refused.value.diag.constraint_name == refused_by


@pytest.mark.parametrize("who", ["owner", "service"])
def test_a_dedup_key_is_free_again_when_its_run_is_over(
    request: pytest.FixtureRequest, who: str
) -> None:
    session = request.getfixturevalue(who)
    insert_run(session, "failed", dedupKey="order-7")

    insert_run(session, "pending", id=ANOTHER_RUN, dedupKey="order-7")
    (runs,) = session.execute('SELECT count(*) FROM "workflowRuns"').fetchone() or (None,)

    assert runs == 2


@pytest.mark.parametrize(
    ("change", "refused_by"),
    [
        ({"secretHash": b"h" * 31}, "accessTokens_hash_length"),
        ({"role": "root"}, "accessTokens_role_known"),
        ({"name": "a:b"}, "accessTokens_name_form"),
    ],
)
def test_a_token_that_is_none_is_refused(
    owner: psycopg.Connection,
    service: psycopg.Connection,
    change: dict[str, Any],
    refused_by: str,
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        insert(owner, "accessTokens", TOKEN | change)
    assert refused.value.diag.constraint_name == refused_by
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        insert(service, "accessTokens", TOKEN)


def test_there_is_one_keeper(owner: psycopg.Connection, service: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        insert(owner, "keeper", {"id": False})
    assert refused.value.diag.constraint_name == "keeper_one_row"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        service.execute("DELETE FROM keeper")
