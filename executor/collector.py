"""The collector: where spans are sent, when the environment names one.

`OTEL_*` are the SDK's own settings, and it reads most of them by itself. The SDK is the extra
`traces`, and is not even imported while they ask for nothing.
"""

import logging
import threading
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog
from opentelemetry import trace
from opentelemetry.trace import Tracer

from executor.deadline import monotonic_seconds

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = structlog.get_logger()

SERVICE_NAME = "dibs-executor"
"""What the spans' service is called unless the environment says otherwise."""
END_SECONDS = 4.0
"""How long the end waits for the last spans to be sent."""
COMPLAINT_SECONDS = 60.0
"""The SDK complains of a collector that is away at every attempt; so often it is heard."""
MOST_CHARACTERS = 200

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class Collector:
    """Sends spans in the background; while nobody takes them they are dropped, not kept."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self.tracer: Tracer = provider.get_tracer("dibs", version("dibs"))

    def end(self) -> None:
        """Send what is left, as far as it can be sent in a moment."""
        # The SDK would wait for half a minute.
        last = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        last.start()
        last.join(END_SECONDS)


def open_collector(environment: Mapping[str, str], *, session: str) -> Collector | None:
    """
    Make ready to send spans, if the environment asks for it.

    What is in the way is a warning, and there are no traces: they are not worth a stop.

    Args:
        session: Tells this process from others of the same name.
    """
    if not is_wanted(environment):
        return None
    if reason := _not_ours(environment):
        log.warning("traces_off", reason=reason)
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as missing:
        log.warning(
            "traces_off",
            reason=f"{missing.name} is not installed: pip install 'dibs[executor,traces]'",
        )
        return None
    _speak_rarely()
    try:
        provider = TracerProvider(
            resource=Resource.create(_resource(environment, session)), shutdown_on_exit=False
        )
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    except ValueError as error:  # Of its settings the SDK warns of some, and raises at others.
        log.warning("traces_off", reason=str(error)[:MOST_CHARACTERS])
        return None
    # A handler's own spans, and those of the libraries that it calls, go the same way.
    trace.set_tracer_provider(provider)
    return Collector(provider)


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces, by the SDK's own names."""
    if _word(environment, "OTEL_SDK_DISABLED") == "true":
        return False
    exporter = _word(environment, "OTEL_TRACES_EXPORTER")
    return exporter != "none" if exporter else any(map(environment.get, _ENDPOINTS))


def _not_ours(environment: Mapping[str, str]) -> str | None:
    """What the environment asks for that Dibs cannot do; None when it can."""
    if _word(environment, "OTEL_TRACES_EXPORTER") not in ("", "otlp"):
        return "OTEL_TRACES_EXPORTER: otlp is all that there is"
    protocol = next(filter(None, (_word(environment, name) for name in _PROTOCOLS)), "")
    if protocol not in ("", "http/protobuf"):
        return "OTEL_EXPORTER_OTLP_PROTOCOL: http/protobuf is all that there is"
    for name in _ENDPOINTS:
        endpoint = environment.get(name)
        if endpoint and not endpoint.strip().lower().startswith(("http://", "https://")):
            return f"{name}: begins with http:// or https://, as in http://127.0.0.1:4318"
    return None


def _word(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name, "").strip().lower()


def _resource(environment: Mapping[str, str], session: str) -> dict[str, str]:
    """Who sends the spans; a name of the environment's wins."""
    resource = {"service.version": version("dibs"), "service.instance.id": session}
    named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return resource if named else {**resource, "service.name": SERVICE_NAME}


def _speak_rarely() -> None:
    """Let the SDK's complaints go to our log, one now and then."""
    library = logging.getLogger("opentelemetry")
    library.addHandler(_NowAndThen(logging.WARNING))
    library.propagate = False


class _NowAndThen(logging.Handler):
    _next_at = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        now = monotonic_seconds()
        if now >= self._next_at:
            self._next_at = now + COMPLAINT_SECONDS
            # What the SDK cannot read of the headers it repeats, and they hold a secret.
            is_of_headers = record.name == "opentelemetry.util.re"
            said = str(record.msg) if is_of_headers else record.getMessage()
            log.warning("traces_not_sent", reason=said[:MOST_CHARACTERS])
