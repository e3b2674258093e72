"""A collector of traces: takes what is sent by OTLP over HTTP, and keeps the spans."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan

from tests.acceptance.waiting import eventually

KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
FAILED = 2


@dataclass(frozen=True)
class Span:
    """
    One span as it was sent.

    Attributes:
        parent: The span's id above it; empty for the root of a trace.
        links: Traces and spans that it is linked to.
        events: What happened within it; an exception is one, with its text.
    """

    service: str
    name: str
    kind: str
    trace_id: str
    id: str
    parent: str
    links: frozenset[tuple[str, str]]
    attributes: dict[str, object]
    events: tuple[str, ...]
    has_failed: bool

    @property
    def run_id(self) -> object:
        return self.attributes.get("dibs.run.id")

    @property
    def context(self) -> tuple[str, str]:
        return self.trace_id, self.id


class Collector:
    """The spans that have come, in no order."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._spans: list[Span] = []
        self._lock = threading.Lock()

    def settings(self) -> dict[str, str]:
        """What tells a process to send its spans here, at once."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            # Beyond any bound of ours.
            "OTEL_SPAN_LINK_COUNT_LIMIT": "1000",
            "NO_PROXY": "127.0.0.1",
        }

    def take(self, request: ExportTraceServiceRequest) -> None:
        with self._lock:
            for of_one in request.resource_spans:
                service = str(_plain(of_one.resource.attributes)["service.name"])
                for scoped in of_one.scope_spans:
                    self._spans += [_read(service, span) for span in scoped.spans]

    def spans(self, **wanted: object) -> list[Span]:
        """The spans that have come of which this is true."""
        with self._lock:
            return [
                span
                for span in self._spans
                if all(getattr(span, name) == value for name, value in wanted.items())
            ]

    def wait_for(self, count: int = 1, **wanted: object) -> list[Span]:
        """Wait until so many of them have come."""
        eventually(lambda: len(self.spans(**wanted)) >= count, what=f"{count} spans {wanted}")
        return self.spans(**wanted)

    def wait_for_one(self, **wanted: object) -> Span:
        """Wait for the one that there is."""
        (span,) = self.wait_for(**wanted)
        return span


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector that listens while the block lasts."""

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.take(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        taken = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield taken
        finally:
            server.shutdown()
            thread.join()


def _read(service: str, sent: SentSpan) -> Span:
    return Span(
        service=service,
        name=sent.name,
        kind=KINDS[sent.kind],
        trace_id=sent.trace_id.hex(),
        id=sent.span_id.hex(),
        parent=sent.parent_span_id.hex(),
        links=frozenset((link.trace_id.hex(), link.span_id.hex()) for link in sent.links),
        attributes=_plain(sent.attributes),
        events=tuple(event.name for event in sent.events),
        has_failed=sent.status.code == FAILED,
    )


def _plain(attributes: Iterator[KeyValue]) -> dict[str, object]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value") or "") for each in attributes
    }
