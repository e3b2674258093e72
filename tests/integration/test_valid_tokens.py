"""Which tokens are valid: by the database's clock, and fetched anew only when one has changed."""

import hashlib
from datetime import timedelta

from orchestrator.api.stored_tokens import StoredTokens
from orchestrator.lifecycle import Role
from orchestrator.store import tokens
from orchestrator.store.engine import open_engine
from orchestrator.store.transaction import transact
from tests.acceptance.waiting import eventually
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
                compat_hash=None,
            ),
        )
    owner.dispose()


def test_the_valid_tokens_are_read_and_no_others(dibs: Dibs, database: Database) -> None:
    make(database, "one", "two", "revoked")
    make(database, "expired", lasts=timedelta(milliseconds=-1))
    make(database, "lasting", lasts=timedelta(hours=1))
    dibs.sql('UPDATE "accessTokens" SET "revokedAt" = clock_timestamp() WHERE name = \'revoked\'')

    found = StoredTokens(dibs.database, development=False).read()

    assert {"one", "two", "lasting"} <= found.keys()
    assert not {"revoked", "expired"} & found.keys()
    assert found["two"].caller.name == "two"
    assert found["two"].caller.role is Role.EXECUTOR
    assert found["two"].caller.queues == ("default", "billing.*")
    assert found["two"].secret_hash == hashlib.sha256(b"two").digest()


def test_they_are_fetched_again_only_when_one_has_changed(dibs: Dibs, database: Database) -> None:
    make(database, "one", "two")
    stored = StoredTokens(dibs.database, development=False)
    first = stored.read()

    assert stored.read() is first
    for change in (
        "SET queues = '{other}' WHERE name = 'one'",
        "SET \"expiresAt\" = clock_timestamp() + interval '1 day' WHERE name = 'one'",
        "SET \"secretHash\" = decode(repeat('ab', 32), 'hex') WHERE name = 'one'",
        "SET \"revokedAt\" = clock_timestamp() WHERE name = 'two'",
    ):
        before = stored.read()
        dibs.sql(f'UPDATE "accessTokens" {change}')
        assert stored.read() is not before, change
    assert stored.read()["one"].caller.queues == ("other",)
    assert "two" not in stored.read()


def test_a_role_that_this_version_does_not_know_is_nobodys_failure(
    dibs: Dibs, database: Database
) -> None:
    make(database, "one", "two")
    dibs.sql('ALTER TABLE "accessTokens" DROP CONSTRAINT "accessTokens_role_known"')
    dibs.sql("UPDATE \"accessTokens\" SET role = 'gardener' WHERE name = 'two'")

    found = StoredTokens(dibs.database, development=False).read()

    assert "one" in found
    assert "two" not in found


def test_a_token_expires_without_a_change(dibs: Dibs, database: Database) -> None:
    stored = StoredTokens(dibs.database, development=False)
    make(database, "brief", lasts=timedelta(seconds=2))
    stored.read()

    eventually(lambda: "brief" not in stored.read(), what="the token expires by itself")


def test_a_development_token_is_found_only_where_it_is_good(dibs: Dibs, database: Database) -> None:
    make(database, "plain")
    make(database, "trial", development=True)

    found = [
        sorted({"plain", "trial"} & StoredTokens(dibs.database, development=good).read().keys())
        for good in (True, False)
    ]

    assert found == [["plain", "trial"], ["plain"]]
