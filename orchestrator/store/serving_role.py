"""What the role that this process serves as may do beyond serving."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Connection

from orchestrator.store.sql import text


class Excess(StrEnum):
    """Why the database's guards do not bind a role: it could take them away."""

    SUPERUSER = "serves-as-superuser"
    OWNER = "serves-as-owner"


def excess(connection: Connection) -> Excess | None:
    """Whether this session's role is a superuser, or owns the tables or may become who does."""
    found = connection.execute(
        text("""
        SELECT CASE WHEN r.rolsuper THEN 'serves-as-superuser'
                    WHEN pg_has_role(r.oid, c.relowner, 'MEMBER') THEN 'serves-as-owner' END
          FROM pg_roles r
          LEFT JOIN pg_class c ON c.oid = to_regclass('"runEvents"')
         WHERE r.rolname = session_user""")
    ).scalar()
    return None if found is None else Excess(found)
