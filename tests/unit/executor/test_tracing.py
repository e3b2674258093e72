"""What spans an executor makes: of claims that got many runs, and when there are no traces."""

from secrets import token_hex

import pytest
from msgspec.structs import replace
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from executor.tracing import MOST_LINKS, Tracing, span_context_of, traceparent, within


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans):
    """With more room for links than a claim may take."""
    provider = TracerProvider(span_limits=SpanLimits(max_links=1000), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Tracing(provider.get_tracer("of a test"))


@pytest.fixture
def traced_run(dispatch):
    """A dispatch of a run with a trace."""

    def make(attempt=1, flags="01"):
        made = dispatch()
        own = f"00-{token_hex(16)}-{token_hex(8)}-{flags}"
        run = replace(made.run, traceparent=own, attempt=attempt)
        return replace(made, run=run)

    return make


def test_a_claim_is_linked_to_so_many_runs_and_no_more(tracing, spans, traced_run):
    claim = tracing.claim()

    claim.granted([traced_run() for _ in range(MOST_LINKS + 1)])

    (span,) = spans.get_finished_spans()
    assert len(span.links) == MOST_LINKS
    assert span.attributes["messaging.batch.message_count"] == MOST_LINKS + 1


def test_a_claim_that_got_nothing_leaves_no_span(tracing, spans):
    tracing.claim().granted([])

    assert spans.get_finished_spans() == ()


def test_the_first_word_on_a_step_counts(tracing, spans, traced_run):
    step = tracing.step(traced_run(), None)

    step.end("success")
    step.end("lease-lost")

    (span,) = spans.get_finished_spans()
    assert span.attributes["dibs.outcome"] == "success"


def test_a_run_whose_trace_is_not_sampled_leaves_no_span(tracing, spans, traced_run):
    step = tracing.step(traced_run(flags="00"), None)
    step.end("success")

    assert spans.get_finished_spans() == ()


def test_a_request_within_a_span_says_so_and_any_other_does_not(tracing):
    claim = tracing.claim()

    with within(claim.span):
        said = traceparent()

    assert span_context_of(said).span_id == claim.span.get_span_context().span_id
    assert traceparent() is None


def test_without_a_tracer_there_is_nothing(traced_run):
    tracing = Tracing()

    with tracing.caused_by(f"00-{'1' * 32}-{'1' * 16}-01"):
        assert (tracing.claim(), tracing.step(traced_run(), None)) == (None, None)
        assert traceparent() is None
