"""How the command line fails: one sentence on standard error and a code that says what kind."""

import click
import httpx2
import psycopg
from alembic.util import CommandError

from orchestrator.settings import SettingsError

# As sysexits.h numbers them, but for the usage error, where 2 is what shells expect.
REFUSED = 1
USAGE = 2
UNAVAILABLE = 69
CANNOT_CREATE = 73
TRY_LATER = 75
NOT_ALLOWED = 77
MISCONFIGURED = 78
INTERRUPTED = 130


class Failure(Exception):
    """A command cannot do what it was asked to; `message` is one sentence."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


def explain(error: Exception) -> Failure | None:
    """What to tell people about an error that commands do not catch; None for a bug of ours."""
    match error:
        case Failure():
            return error
        case click.UsageError(ctx=context):
            hint = f" (see {context.command_path} --help)" if context else ""
            return Failure(f"{error.format_message()}{hint}", USAGE)
        case click.ClickException():
            return Failure(error.format_message(), error.exit_code)
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
