"""Errors of the libraries that the commands use, in a sentence each."""

import httpx2
import psycopg
from alembic.util import CommandError

from orchestrator.cli.failure import MISCONFIGURED, NOT_ALLOWED, REFUSED, UNAVAILABLE, Failure
from orchestrator.settings import SettingsError


def explain(error: Exception) -> Failure | None:
    """What to tell people about an error of a library; None for a bug of ours."""
    match error:
        case SettingsError():
            return Failure(str(error), MISCONFIGURED)
        case CommandError():
            return Failure(str(error), REFUSED)
        case httpx2.HTTPStatusError(response=answer):
            said = f"{answer.status_code} {answer.reason_phrase} at {answer.url.path}"
            return Failure(f"The orchestrator answered {said}.", REFUSED)
        case httpx2.TransportError():
            return Failure(f"The orchestrator does not answer: {error}", UNAVAILABLE)
    return _explain_database(_cause(error))


def _explain_database(error: BaseException) -> Failure | None:
    match error:
        case psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedColumn():
            return Failure(
                "The database has no schema of this version: run `dibs migrate up` first.",
                MISCONFIGURED,
            )
        case psycopg.errors.InsufficientPrivilege():
            return Failure(f"The database does not allow it: {_first_line(error)}", NOT_ALLOWED)
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return Failure(f"The database cannot be used: {_first_line(error)}", UNAVAILABLE)
    return None


def _cause(error: BaseException) -> BaseException:
    """The driver's own error beneath SQLAlchemy's."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, BaseException) else error


def _first_line(error: BaseException) -> str:
    # What follows the first line may hold a row (DETAIL) or the statement.
    return str(error).strip().partition("\n")[0]
