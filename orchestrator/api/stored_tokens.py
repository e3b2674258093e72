"""The valid tokens of the database, fetched as a whole only when one of them has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from orchestrator.api.tokens import Caller, StoredToken
from orchestrator.lifecycle import Role
from orchestrator.store import tokens
from orchestrator.store.engine import Database
from orchestrator.store.transaction import transact

_ROLES: Final = {role.value for role in Role}


class StoredTokens:
    """What one process has fetched; for one thread at a time."""

    def __init__(self, database: Database, *, development: bool):
        """
        Args:
            development: Whether development tokens are good here.
        """
        self._database = database
        self._development = development
        self._version = ""
        self._tokens: Mapping[str, StoredToken] = {}

    def read(self) -> Mapping[str, StoredToken]:
        """
        All tokens that are neither revoked nor expired now, by key id.

        Raises:
            Unavailable: As `transact` does; what was fetched before stays.
        """
        self._version, self._tokens = transact(self._database.access, self._read)
        return self._tokens

    def _read(self, connection: Connection) -> tuple[str, Mapping[str, StoredToken]]:
        # The version first: what changes between the two statements is fetched twice, not missed.
        version = tokens.version_of_active(connection)
        if version == self._version:
            return version, self._tokens
        return version, {
            one.key_id: StoredToken(
                Caller(one.key_id, one.name, Role(one.role), one.queues, one.expires_at),
                one.secret_hash,
                one.compat_hash,
            )
            for one in tokens.list_active(connection, development=self._development)
            # A role of a version to come is nobody's business here, and nobody's failure.
            if one.role in _ROLES
        }
