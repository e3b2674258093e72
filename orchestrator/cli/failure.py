"""How the command line fails: one sentence on standard error and a code that says what kind."""

import click

# As sysexits.h numbers them, but for the usage error, where 2 is what shells expect,
# and for the last two, which shells make of the signals of that number.
DONE = 0
REFUSED = 1
USAGE = 2
UNAVAILABLE = 69
CANNOT_CREATE = 73
TRY_LATER = 75
NOT_ALLOWED = 77
MISCONFIGURED = 78
INTERRUPTED = 130
NOBODY_READS = 141

EXIT_CODES = {
    DONE: "done",
    REFUSED: "refused: not as things stand, or one of several was",
    USAGE: "not understood: an option, an argument or a value",
    UNAVAILABLE: "no answer: the orchestrator or the database cannot be reached",
    CANNOT_CREATE: "a file cannot be written",
    TRY_LATER: "not now: busy, or too many requests; the same again may do",
    NOT_ALLOWED: "not allowed: no good token, or its role may not",
    MISCONFIGURED: "not set up: a setting is missing or wrong",
    INTERRUPTED: "interrupted by Ctrl-C, or the answer was no",
    NOBODY_READS: "whoever read the output has gone, as `head` does",
}


class Failure(Exception):
    """A command cannot do what it was asked to; `message` is one sentence."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


def failure_of(error: Exception) -> Failure | None:
    """What to tell people about an error that commands do not catch; None for a bug of ours."""
    match error:
        case Failure():
            return error
        case click.UsageError(ctx=context):
            hint = f" (see {context.command_path} --help)" if context else ""
            return Failure(f"{error.format_message()}{hint}", USAGE)
        case click.ClickException():
            return Failure(error.format_message(), error.exit_code)
        case ModuleNotFoundError():
            return None
    # It knows the errors of every library: to import them all takes a second.
    from orchestrator.cli.explanation import explain

    return explain(error)
