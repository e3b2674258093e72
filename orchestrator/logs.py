"""Logs: one JSON object for each event, on standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

import structlog
from structlog.typing import EventDict, WrappedLogger

# One variable for all of it: structlog's own has one for each key, and looks through the
# whole context for them at the beginning of each request, whether or not anything is logged.
_KNOWN: Final[ContextVar[Mapping[str, str]]] = ContextVar(
    "known_to_the_log", default=MappingProxyType({})
)


def configure_logs(level: str) -> None:
    """
    Send structlog's events to standard error, from this level on.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
    """
    structlog.configure(
        processors=[
            _add_known,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        # One write for each event: those of several processes would mix otherwise.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


def begin_log(request_id: str) -> None:
    """From now on each event of this context has this request's id, and nothing of another's."""
    _KNOWN.set({"request_id": request_id})


def tell_log(**about: str) -> None:
    """From now on each event of the present request has these as well."""
    _KNOWN.set({**_KNOWN.get(), **about})


def _add_known(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name, value in _KNOWN.get().items():
        event.setdefault(name, value)
    return event
