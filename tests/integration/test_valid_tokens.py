"""Which tokens a look-up finds: by the database's clock, all of them in one statement."""

import hashlib
from datetime import timedelta

from orchestrator.api.tokens import stored_tokens
from orchestrator.lifecycle import Role
from orchestrator.store import tokens
from orchestrator.store.engine import open_engine
from orchestrator.store.transaction import transact
from tests.database import Database
from tests.integration.dibs import Dibs


def make(
    database: Database, *key_ids: str, lasts: timedelta | None = None, development: bool = False
) -> None:
    owner = open_engine(database.owner_url, connections=1, name="owner")
    for key_id in key_ids:
        transact(
            owner,
            lambda connection, key_id=key_id: tokens.create(
                connection,
                key_id=key_id,
                name=key_id,
                role=Role.EXECUTOR.value,
                secret_hash=hashlib.sha256(key_id.encode()).digest(),
                queues=["default", "billing.*"],
                lasts=lasts,
                development=development,
            ),
        )
    owner.dispose()


def test_valid_tokens_are_found_together_and_no_others(dibs: Dibs, database: Database) -> None:
    make(database, "one", "two", "revoked", "not-asked-for")
    make(database, "expired", lasts=timedelta(milliseconds=-1))
    make(database, "lasting", lasts=timedelta(hours=1))
    dibs.sql('UPDATE "accessTokens" SET "revokedAt" = clock_timestamp() WHERE name = \'revoked\'')

    asked = ["one", "two", "revoked", "expired", "lasting", "nobody"]
    found = stored_tokens(dibs.database, asked, development=False)

    assert sorted(found) == ["lasting", "one", "two"]
    assert found["two"].caller.name == "two"
    assert found["two"].caller.role is Role.EXECUTOR
    assert found["two"].caller.queues == ("default", "billing.*")
    assert found["two"].secret_hash == hashlib.sha256(b"two").digest()


def test_a_development_token_is_found_only_where_it_is_good(dibs: Dibs, database: Database) -> None:
    make(database, "plain")
    make(database, "trial", development=True)

    found = [
        sorted(stored_tokens(dibs.database, ["plain", "trial"], development=good))
        for good in (True, False)
    ]

    assert found == [["plain", "trial"], ["plain"]]
