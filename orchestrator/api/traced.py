"""Traced views: the server's part in the trace of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, Final, TypeVar

from opentelemetry.trace import Link, SpanKind, StatusCode, get_current_span
from opentelemetry.util.types import AttributeValue

from orchestrator.api.call import call
from orchestrator.api.context import services
from orchestrator.api.problems import status_of
from orchestrator.errors import DibsError
from orchestrator.logs import tell_log
from orchestrator.store.records import Dispatch
from orchestrator.tracing import MOST_LINKS, below, ids_of, span_context_of, traceparent_of, within

View = TypeVar("View", bound=Callable[..., Any])

_HEADER: Final = "traceparent"


def traced(*, parent: Callable[[Any], str | None] = lambda _: None) -> Callable[[View], View]:
    """
    Let a view's requests be spans, children of the span that they came with.

    Args:
        parent: The `traceparent` that a body has itself; without one the header's counts.
    """

    def declare(view: View) -> View:
        @wraps(view)
        def seen(*arguments: Any, **named: Any) -> Any:
            tracer = services().tracer
            if tracer is None:
                return view(*arguments, **named)
            came_with = parent(named.get("asked")) or call().header(_HEADER)
            span = tracer.start_span(
                _name(), below(span_context_of(came_with)), SpanKind.SERVER, _about_the_request()
            )
            # What is logged of a refusal is logged when the span is over.
            tell_log(**ids_of(span))
            with within(tracer, span):
                try:
                    answered = view(*arguments, **named)
                except Exception as error:
                    _tell_refusal(error)
                    raise
                span.set_attribute("http.response.status_code", answered.status_code)
                return answered

        return seen  # type: ignore[return-value]

    return declare


def tell_span(**about: AttributeValue | None) -> None:
    """Say what the present request is about, if it is traced: `run_id` is `dibs.run.id`."""
    span = get_current_span()
    if span.is_recording():
        for name, value in about.items():
            if value is not None:
                span.set_attribute(f"dibs.{name.replace('_', '.')}", value)


def link_span(traceparents: Iterable[str | None]) -> None:
    """Link the present request, if it is traced, to the first of these spans."""
    span = get_current_span()
    if span.is_recording():
        for link in _links(traceparents):
            span.add_link(link.context)


def trace_claim(began_at_ns: int, dispatches: Sequence[Dispatch]) -> None:
    """
    Leave a span of the present claim, with a link to the trace of each run that it got.

    Of a claim that got nothing there is none: an idle executor parks one after another.

    Args:
        began_at_ns: On the clock of `time.time_ns`.
    """
    tracer = services().tracer
    if tracer is None or not dispatches:
        return
    span = tracer.start_span(
        _name(),
        below(span_context_of(call().header(_HEADER))),
        SpanKind.SERVER,
        {**_about_the_request(), "messaging.batch.message_count": len(dispatches)},
        _links(dispatch.run.traceparent for dispatch in dispatches),
        began_at_ns,
    )
    span.set_attribute("http.response.status_code", 200)
    span.end()


def kept_traceparent() -> str | None:
    """What a run keeps that brought none itself: the request's header, or its own span."""
    context = span_context_of(call().header(_HEADER))
    return traceparent_of(context or get_current_span().get_span_context())


def _name() -> str:
    return f"{call().method} {call().rule}"


def _about_the_request() -> dict[str, AttributeValue]:
    return {
        "http.request.method": call().method,
        "http.route": str(call().rule),
        "messaging.system": "dibs",
    }


def _links(traceparents: Iterable[str | None]) -> list[Link]:
    contexts = filter(None, map(span_context_of, traceparents))
    return [Link(context) for context, _ in zip(contexts, range(MOST_LINKS), strict=False)]


def _tell_refusal(error: Exception) -> None:
    span = get_current_span()
    status = status_of(type(error)) if isinstance(error, DibsError) else 500
    code = error.code if isinstance(error, DibsError) else type(error).__name__
    span.set_attributes({"http.response.status_code": status, "error.type": code})
    if status >= 500:
        # By the conventions a refusal is the caller's error, not the server's.
        span.set_status(StatusCode.ERROR)
