"""Traces: what this executor does for runs, as spans.

A run's first attempt is a part of the trace that its `traceparent` names. A later attempt may
come hours later, and after others: it begins a trace of its own, with a link to the run's. So do
claims, which are of many runs. Spans hold names and numbers: no payload, no message, no lease id.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from executor.wire import Dispatch

MOST_LINKS = 128

_NOT_TRACED: AbstractContextManager[object] = nullcontext()
_W3C = TraceContextTextMapPropagator()
_FAILURES = frozenset({"error", "unknown", "refused"})
_SYSTEM = {"messaging.system": "dibs"}


class StepTrace:
    """One step of one lease: the span of its execution, and that of its report."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self.span = span

    def end(self, outcome: str) -> None:
        """Say how the step ended; the first word counts."""
        if self.span.is_recording():
            _end(self.span, {"dibs.outcome": outcome}, outcome)

    def begin_report(self) -> Span:
        """Begin the span of the step's report, which `end_report` ends."""
        return self._tracer.start_span(
            "report", set_span_in_context(self.span, Context()), SpanKind.CLIENT, _SYSTEM
        )


class ClaimTrace:
    """One claim, however often it is sent. It leaves a span only if it got something."""

    def __init__(self, span: Span) -> None:
        self.span = span

    def granted(self, dispatches: Sequence[Dispatch]) -> None:
        """End the span, with a link to the trace of each run that it got."""
        for dispatch in dispatches[:MOST_LINKS]:
            context = span_context_of(dispatch.run.traceparent)
            if context is not None:
                self.span.add_link(context)
        if dispatches:
            _end(self.span, {"messaging.batch.message_count": len(dispatches)})


class Tracing:
    """Begins this executor's spans; without a tracer there are none, and they cost nothing."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer

    def caused_by(self, traceparent: str | None) -> AbstractContextManager[object]:
        """Let claims be children of the span that a request came with."""
        context = None if self._tracer is None else span_context_of(traceparent)
        return within(NonRecordingSpan(context) if context else None)

    def claim(self) -> ClaimTrace | None:
        """Begin the span of a claim."""
        if self._tracer is None:
            return None
        span = self._tracer.start_span("claim", kind=SpanKind.CLIENT, attributes=_SYSTEM)
        return ClaimTrace(span)

    def step(self, dispatch: Dispatch, claimed_in: SpanContext | None) -> StepTrace | None:
        """
        Begin the span of a step.

        Args:
            claimed_in: The span of the claim that brought the lease.
        """
        if self._tracer is None:
            return None
        run, step = dispatch.run, dispatch.step
        of_the_run, is_first = span_context_of(run.traceparent), run.attempt <= 1
        links = [] if claimed_in is None else [Link(claimed_in)]
        if of_the_run is not None and not is_first:
            links.append(Link(of_the_run))
        span = self._tracer.start_span(
            f"step {step.type}",
            _below(of_the_run if is_first else None),
            SpanKind.CONSUMER,
            {
                **_SYSTEM,
                "messaging.destination.name": run.queue,
                "messaging.operation.type": "process",
                "messaging.message.id": run.id,
                "dibs.run.id": run.id,
                "dibs.workflow": run.workflow,
                "dibs.step.name": step.name,
                "dibs.step.index": step.index,
                "dibs.attempt": run.attempt,
                "dibs.fence": dispatch.lease.fence,
            },
            links,
        )
        return StepTrace(self._tracer, span)


def end_report(span: Span | None, status: str) -> None:
    """End the span of a report with what it has made of the run, or why nothing is known."""
    if span is not None and span.is_recording():
        _end(span, {"dibs.report.status": status}, status)


def within(span: Span | None) -> AbstractContextManager[object]:
    """Let requests that are sent, and lines that are logged, be parts of a span."""
    if span is None:
        return _NOT_TRACED
    # An exception's text is a handler's, and may hold what it worked on.
    return use_span(span, record_exception=False, set_status_on_exception=False)


def traceparent() -> str | None:
    """What a request that is sent now says of the span that it is a part of."""
    carrier: dict[str, str] = {}
    if get_current_span().get_span_context().is_valid:
        _W3C.inject(carrier)
    return carrier.get("traceparent")


def span_context_of(traceparent: str | None) -> SpanContext | None:
    """The span that a W3C `traceparent` names; None when it names none."""
    if not traceparent:
        return None
    found = get_current_span(_W3C.extract({"traceparent": traceparent})).get_span_context()
    return found if found.is_valid else None


def ids_of(span: Span) -> dict[str, str]:
    """What a log line says of the span that it is about; nothing when it is none."""
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": format_trace_id(context.trace_id),
        "span_id": format_span_id(context.span_id),
    }


def _below(parent: SpanContext | None) -> Context:
    """A context in which spans are children of this one, or roots."""
    context = Context()
    return context if parent is None else set_span_in_context(NonRecordingSpan(parent), context)


def _end(span: Span, attributes: Mapping[str, str | int], word: str = "") -> None:
    span.set_attributes(attributes)
    if word in _FAILURES:
        span.set_attribute("error.type", word)
        span.set_status(StatusCode.ERROR)
    span.end()
