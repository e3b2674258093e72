"""Whether there are traces, and that a collector which is away holds nothing up: both programs."""

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

import executor.collector
import orchestrator.collector

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
TRACES_ENDPOINT = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}
OFF = {"OTEL_SDK_DISABLED": "true"}
# Well beyond what the end may wait, and well below what it would wait unbounded: half a minute.
AT_ONCE_SECONDS = 15

PROGRAMS = [
    pytest.param(orchestrator.collector, orchestrator.collector.open_collector, id="orchestrator"),
    pytest.param(
        executor.collector,
        partial(executor.collector.open_collector, session="of a test"),
        id="executor",
    ),
]
both = pytest.mark.parametrize(("module", "open_collector"), PROGRAMS)
Open = Callable[[dict[str, str]], Any]


@pytest.fixture(autouse=True)
def nobody_elses_complaints() -> Iterator[None]:
    """What a test's collector has changed of the SDK's logging is put back."""
    library = logging.getLogger("opentelemetry")
    handlers, propagates = list(library.handlers), library.propagate
    yield
    library.handlers[:], library.propagate = handlers, propagates


@pytest.fixture
def deaf() -> Iterator[str]:
    """Somebody who takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@both
@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        (ENDPOINT, True),
        (TRACES_ENDPOINT, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none"} | ENDPOINT, False),
        (ENDPOINT | OFF, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "false"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:9"}, False),
    ],
)
def test_traces_are_off_until_the_environment_asks_for_them(
    module: Any, open_collector: Open, environment: dict[str, str], wanted: bool
) -> None:
    assert module.is_wanted(environment) is wanted


@both
@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ({"OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ],
)
def test_what_cannot_be_done_is_a_warning_and_no_stop(
    module: Any, open_collector: Open, setting: dict[str, str], name: str
) -> None:
    with capture_logs() as logs:
        collector = open_collector(setting)

    assert collector is None
    assert [(line["event"], line["log_level"]) for line in logs] == [("traces_off", "warning")]
    assert name in logs[0]["reason"]


@both
@pytest.mark.parametrize(
    "setting",
    [{"OTEL_BSP_MAX_QUEUE_SIZE": "10"}, {"OTEL_SPAN_LINK_COUNT_LIMIT": "-5"}],
    ids=lambda setting: next(iter(setting)),
)
def test_a_setting_that_the_sdk_refuses_is_a_warning_and_no_stop(
    module: Any, open_collector: Open, setting: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (ENDPOINT | setting).items():
        monkeypatch.setenv(name, value)

    with capture_logs() as logs:
        collector = open_collector(ENDPOINT | setting)

    assert collector is None
    assert [(line["event"], line["log_level"]) for line in logs] == [("traces_off", "warning")]
    assert "must be" in logs[0]["reason"]


@both
def test_headers_that_cannot_be_read_are_not_logged(
    module: Any, open_collector: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = ENDPOINT | {"OTEL_EXPORTER_OTLP_HEADERS": "s3cret"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(executor.collector.trace, "set_tracer_provider", lambda _: None)

    with capture_logs() as logs:
        open_collector(environment).end()

    assert "Header" in logs[0]["reason"]
    assert "s3cret" not in str(logs)


@both
def test_a_sdk_that_is_not_there_is_a_warning_and_no_stop(
    module: Any, open_collector: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)

    with capture_logs() as logs:
        collector = open_collector(ENDPOINT)

    assert collector is None
    assert "pip install 'dibs[" in logs[0]["reason"]


@both
def test_the_end_does_not_wait_for_a_collector_that_does_not_answer(
    module: Any, open_collector: Open, deaf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", deaf)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "40")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(executor.collector.trace, "set_tracer_provider", lambda _: None)
    collector = open_collector({"OTEL_EXPORTER_OTLP_ENDPOINT": deaf})
    collector.tracer.start_span("the last one").end()
    began_at = time.monotonic()

    collector.end()

    assert time.monotonic() - began_at < AT_ONCE_SECONDS


@pytest.mark.parametrize(
    "program",
    [
        "import orchestrator.server; orchestrator.server.open_collector({})",
        "import executor.process; executor.process.open_collector({}, session='of a test')",
    ],
)
def test_without_traces_the_sdk_is_not_even_imported(program: str) -> None:
    program += "; import sys; print('opentelemetry.sdk' in sys.modules)"

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert ended.stdout == "False\n"
