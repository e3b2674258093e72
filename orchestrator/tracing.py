"""Traces: what a request did, as spans; none where the application was given no tracer.

Spans hold names and numbers: no payload, no message, no lease id.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

MOST_LINKS: Final = 128
# Of a longer one the library says so on standard error, at every request.
MOST_CHARACTERS: Final = 512

_NOT_TRACED: Final[AbstractContextManager[object]] = nullcontext()
_W3C: Final = TraceContextTextMapPropagator()
_TRACER: Final[ContextVar[Tracer | None]] = ContextVar("tracer_of_the_request", default=None)


@contextmanager
def within(tracer: Tracer, span: Span) -> Iterator[None]:
    """Let what is done be a part of a span, and end it."""
    token = _TRACER.set(tracer)
    try:
        # An exception's text may hold what was sent.
        with use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            yield
    finally:
        _TRACER.reset(token)


def transaction() -> AbstractContextManager[object]:
    """A span around a transaction of a request that is traced; nothing around any other."""
    tracer = _TRACER.get()
    if tracer is None:
        return _NOT_TRACED
    return tracer.start_as_current_span(
        "transaction",
        kind=SpanKind.CLIENT,
        attributes={"db.system.name": "postgresql"},
        record_exception=False,
        set_status_on_exception=False,
    )


def span_context_of(traceparent: str | None) -> SpanContext | None:
    """The span that a W3C `traceparent` names; None when it names none."""
    if not traceparent or len(traceparent) > MOST_CHARACTERS:
        return None
    found = get_current_span(_W3C.extract({"traceparent": traceparent})).get_span_context()
    return found if found.is_valid else None


def traceparent_of(context: SpanContext) -> str | None:
    """The W3C `traceparent` of a span, as runs keep it; None when it is no span's."""
    if not context.is_valid:
        return None
    flags = context.trace_flags & 0xFF
    return f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-{flags:02x}"


def below(parent: SpanContext | None) -> Context:
    """A context in which spans are children of this one, or roots."""
    context = Context()
    return context if parent is None else set_span_in_context(NonRecordingSpan(parent), context)


def ids_of(span: Span) -> dict[str, str]:
    """What a log line says of the span that it is a part of; nothing when there is none."""
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": format_trace_id(context.trace_id),
        "span_id": format_span_id(context.span_id),
    }
