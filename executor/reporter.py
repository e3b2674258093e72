"""The reporter: tells outcomes to the orchestrator, many in one request."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
import structlog
from opentelemetry.trace import Span

from executor.client import Orchestrator
from executor.deadline import monotonic_seconds
from executor.leases import HeldLease, HeldLeases
from executor.metrics import Metrics
from executor.retry import until_answered
from executor.tracing import within
from executor.transport import RefusedError, UnansweredError
from executor.wire import ReportResult

log = structlog.get_logger()

LINGER_SECONDS = 0.003
"""How long a report waits for others, while other leases are held that may bring some."""
REPORTS_PER_BATCH = 500
BYTES_PER_BATCH = 8 * 1024 * 1024 - 64 * 1024
"""The orchestrator's cap, less what stands around the reports."""


@dataclass(frozen=True)
class Overdue:
    """The lease passed its own deadline before any answer: not to be sent until it is renewed."""


@dataclass(frozen=True)
class Unwritten:
    """
    The report was not stored, and repeating it changes nothing.

    Attributes:
        refusal: What the orchestrator had against the request; None when it
            failed here.
    """

    refusal: RefusedError | None


@dataclass(frozen=True)
class Report:
    """
    One outcome under way.

    Attributes:
        text: The report as JSON, the same at every attempt.
        chain: Whether the run's next step may be handed out in the answer.
        on_answer: Called once, on the reporter's thread.
        span: Its own, if there are traces. A request is a part of its first report's.
    """

    lease: HeldLease
    text: bytes
    chain: bool
    on_answer: Callable[[ReportResult | Overdue | Unwritten], None]
    span: Span | None = None


def report_text(lease: HeldLease, step_index: int, outcome: dict[str, Any]) -> bytes:
    """One report of a batch as JSON."""
    return orjson.dumps(
        {
            "leaseId": lease.id,
            "runId": lease.run_id,
            "stepIndex": step_index,
            "outcome": outcome,
        }
    )


class Reporter:
    """
    Sends reports in batches, each until it is answered or its lease is past.

    One batch is under way at a time; what comes in meanwhile forms the next.
    """

    def __init__(self, orchestrator: Orchestrator, leases: HeldLeases, metrics: Metrics) -> None:
        self._orchestrator = orchestrator
        self._leases = leases
        self._metrics = metrics
        self._queue: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._kept_back: Report | None = None
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, report: Report) -> None:
        """Send a report with the next batch."""
        self._queue.put(report)

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            try:
                self._send(batch)
            except Exception:  # The next batch must still be sent.
                log.exception("report_failed", run_ids=[report.lease.run_id for report in batch])
                for report in batch:
                    report.on_answer(Unwritten(None))

    def _next_batch(self) -> list[Report]:
        """Wait for a report, linger for those that may follow it, and keep to one `chain`."""
        batch = [self._kept_back or self._queue.get()]
        self._kept_back = None
        size = len(batch[0].text)
        if self._leases.count > 1 + self._queue.qsize():
            # Not a wait for the next report: a hundred of them would be a hundred wake-ups.
            time.sleep(LINGER_SECONDS)
        while len(batch) < REPORTS_PER_BATCH and not self._queue.empty():
            report = self._queue.get()
            size += len(report.text) + 1
            if size > BYTES_PER_BATCH or report.chain != batch[0].chain:
                self._kept_back = report
                break
            batch.append(report)
        return batch

    def _send(self, batch: Sequence[Report]) -> None:
        under_way, request_id = list(batch), str(uuid4())
        is_repeat = False

        def attempt() -> tuple[list[Report], Sequence[ReportResult], float]:
            nonlocal is_repeat
            self._drop_overdue(under_way)
            if not under_way:
                return [], [], 0.0
            if is_repeat:
                self._metrics.report_repeats.inc(len(under_way))
            is_repeat = True
            sent_at = monotonic_seconds()
            texts = [report.text for report in under_way]
            with within(under_way[0].span):
                answer = self._orchestrator.report(
                    texts, chain=under_way[0].chain, request_id=request_id
                )
            if len(answer.results) != len(texts):
                raise UnansweredError("the orchestrator answered another number of reports")
            return under_way, answer.results, sent_at

        try:
            answered, results, sent_at = until_answered(attempt, give_up=lambda: False)
        except RefusedError as refusal:
            self._refused(under_way, refusal)
            return
        for status, reports in Counter(result.status for result in results).items():
            self._metrics.reports.add(status, reports)
        for report, result in zip(answered, results, strict=True):
            if result.next is not None:
                self._leases.extend([report.lease.id], sent_at)
            report.on_answer(result)

    def _drop_overdue(self, under_way: list[Report]) -> None:
        now = monotonic_seconds()
        for report in [report for report in under_way if now > report.lease.deadline]:
            under_way.remove(report)
            self._metrics.reports.add("overdue")
            report.on_answer(Overdue())

    def _refused(self, batch: Sequence[Report], refusal: RefusedError) -> None:
        """A request is refused as a whole: find whose fault it is, one by one."""
        if len(batch) == 1:
            self._metrics.reports.add("unwritten")
            batch[0].on_answer(Unwritten(refusal))
            return
        log.error("reports_refused", status=refusal.status, code=refusal.code, reports=len(batch))
        for report in batch:
            self._send([report])
