"""Logging: one event per state change, JSON for machines, lines for a terminal."""

import json
import logging
import sys
from functools import partial
from typing import Any

import orjson
import structlog
from opentelemetry.trace import get_current_span
from structlog.typing import EventDict, Processor, WrappedLogger

from executor.printable import printable, printable_lines
from executor.tracing import ids_of


def configure_logs(level: str, *, executor: str) -> None:
    """
    Send events of `level` and above to standard error, each with this executor's instance.

    Runs and strangers have a say in what is logged, so on a terminal control
    characters are written out. Tracebacks show no values of variables: one may
    be somebody's token.
    """
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        partial(_say_whose, executor=executor),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    logger_factory: Any
    if sys.stderr.isatty():
        processors.append(_write_out)
        processors.append(
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        )
        logger_factory = structlog.PrintLoggerFactory(sys.stderr)
    else:
        processors.append(structlog.processors.JSONRenderer(serializer=_json))
        logger_factory = structlog.BytesLoggerFactory(sys.stderr.buffer)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=logger_factory,
        cache_logger_on_first_use=True,
    )
    # Libraries speak through the standard module: waitress says when it is full.
    plain = logging.StreamHandler(sys.stderr)
    plain.setFormatter(_Printable(logging.BASIC_FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[plain])


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


def _say_whose(_: WrappedLogger, __: str, event: EventDict, *, executor: str) -> EventDict:
    """Which executor an event is of, and which span, if it is of one."""
    return {**ids_of(get_current_span()), **event, "executor": executor}


def _write_out(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Write control characters out; only a traceback has lines, which are indented."""
    return {
        name: f"  {printable_lines(value)}"
        if name == "exception"
        else value
        if isinstance(value, int | float)
        else printable(str(value))
        for name, value in event.items()
    }


def _json(event: Any, **_: Any) -> bytes:
    """JSON without a character that a terminal, to which it is copied, might obey."""
    try:
        line = orjson.dumps(event, default=str)
    except TypeError:
        # Half of a surrogate pair, in what a handler said.
        line = b""
    return line if line and line.isascii() else json.dumps(event, default=str).encode()
