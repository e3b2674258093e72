"""One executor process: its parts, how they start, and how they come to rest."""

import os
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import Any
from uuid import uuid4

import httpx2
import structlog

from executor.callers import Callers
from executor.client import Identity, Orchestrator
from executor.collector import open_collector
from executor.deadline import monotonic_seconds
from executor.execution import Cancellation
from executor.face import Face
from executor.handlers import App
from executor.heartbeat import Heartbeat
from executor.http import create_app
from executor.in_flight import InFlightRuns
from executor.leases import HeldLeases
from executor.metrics import Metrics
from executor.poller import Poller
from executor.registration import Registration
from executor.releaser import Releaser
from executor.reporter import Reporter
from executor.runner import Runner
from executor.settings import Settings
from executor.strangers import Strangers
from executor.tracing import Tracing
from executor.trigger import Trigger
from executor.watch import GRACE_SECONDS, Watch

log = structlog.get_logger()

SWITCH_INTERVAL_SECONDS = 0.001
"""
How long a thread that burns CPU may keep the others waiting. Measured beside
eight such threads on two cores: a renewal takes 50 to 240 ms with Python's own
5 ms, and 13 to 60 ms with this.
"""

ANSWER_SECONDS = 5.0
"""How long the end waits for releases to be answered, and for a parked claim."""


class Executor:
    """Everything one process does, from registration to the last release."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._settings = settings
        self.session = str(uuid4())
        self._collector = open_collector(os.environ, session=self.session)
        tracing = Tracing(self._collector.tracer if self._collector else None)
        identity = Identity(settings.token.get_secret_value(), settings.instance, self.session)
        # Each role has a pool of its own, so that none waits behind a parked claim.
        tls = httpx2.create_ssl_context()
        self._pools: list[Orchestrator] = []

        def connect() -> Orchestrator:
            self._pools.append(Orchestrator(settings.orchestrator_url, identity, tls))
            return self._pools[-1]

        self._orchestrator = connect()
        self.in_flight = InFlightRuns()
        self.leases = HeldLeases()
        self.metrics = Metrics()
        reporter = Reporter(connect(), self.leases, self.metrics)
        releaser = Releaser(connect(), self.metrics)
        self.runner = Runner(
            app,
            self._orchestrator,
            self.in_flight,
            self.leases,
            reporter,
            releaser,
            self.metrics,
            slots=settings.slots,
            lease_seconds=settings.lease_seconds,
            chain_limit=settings.chain_limit,
            tracing=tracing,
        )
        self._heartbeat = Heartbeat(
            connect(),
            self.leases,
            self.metrics,
            on_renewed=self.runner.renewed,
            on_lost=lambda lease_id: self.runner.cancel(lease_id, Cancellation.LOST),
            on_abort=lambda lease_id: self.runner.cancel(lease_id, Cancellation.ABORT),
        )
        self._poller = Poller(
            connect(),
            self.leases,
            self.runner,
            self.metrics,
            queues=settings.queues,
            lease_seconds=settings.lease_seconds,
            poll_interval_seconds=settings.poll_interval_seconds,
            tracing=tracing,
        )
        self._watch = Watch(self.runner, self.leases)
        trigger = Trigger(
            orchestrator=self._orchestrator,
            callers=Callers(connect(), Strangers(settings.strangers_per_second)),
            in_flight=self.in_flight,
            leases=self.leases,
            runner=self.runner,
            lease_seconds=settings.lease_seconds,
            in_flight_status=settings.in_flight_status,
            tracing=tracing,
        )
        self._face = Face(
            create_app(trigger, self.in_flight, self.runner, self.health, self.metrics),
            settings.http_host,
            settings.http_port,
        )
        self._tell_gauges()
        facts = {
            "version": version("dibs"),
            "slots": settings.slots,
            "queues": list(settings.queues),
            "stepTypes": list(app.step_types),
            "url": self.url,
            "replaces": settings.replaces,
        }
        self._registration = Registration(self._orchestrator, facts)
        self._threads = (reporter, releaser, self._heartbeat, self._watch, self._face)

    @property
    def url(self) -> str:
        """Where others reach the HTTP face."""
        return self._settings.url or self._face.url

    def start(self) -> None:
        """
        Register and begin to work.

        Raises:
            NotWelcomeError: The orchestrator does not accept the token.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        self._registration.announce()
        for part in self._threads:
            part.start()
        self._poller.start()
        log.info("executor_started", session=self.session, url=self.url)

    def drain(self, hurry: threading.Event) -> None:
        """
        Come to rest: begin nothing, finish what runs, give the rest back.

        Args:
            hurry: Cuts the time for finishing short.
        """
        began_at = monotonic_seconds()
        log.info("draining", in_flight=len(self.in_flight))
        self.runner.drain()
        self._poller.stop()
        self._registration.withdraw()
        while monotonic_seconds() < began_at + self._settings.stop_timeout_seconds:
            if hurry.is_set() or self.runner.wait_until_idle(0.1):
                break
        self._give_back_the_rest()
        self._settle_parked_claim(began_at)
        self._heartbeat.stop()
        self._watch.stop()
        self._face.close()
        self._registration.wait(1.0)
        for pool in self._pools:
            pool.close()
        if self._collector is not None:
            self._collector.end()
        log.info("executor_stopped", ignoring=len(self.in_flight))

    def health(self, may_see: Callable[[str], bool] = lambda _queue: True) -> dict[str, Any]:
        """
        What `/health` shows.

        Args:
            may_see: Whether runs of a queue may be named to whoever asks.
        """
        ignoring = [
            {
                "runId": one.entry.run_id,
                "step": one.dispatch.step.name,
                "since": one.step_since,
                "cancelled": one.cancellation.value if one.cancellation else None,
            }
            for one in self.runner.executions()
            if one.ignoring and may_see(one.dispatch.run.queue)
        ]
        return {
            "status": "draining" if self.runner.draining else "ok",
            "executor": self._settings.instance,
            "session": self.session,
            "slots": self.runner.slots,
            "inFlight": len(self.in_flight),
            "orchestrator": "away" if self._poller.orchestrator_is_away else "ok",
            "ignoringCancellation": ignoring,
        }

    def _tell_gauges(self) -> None:
        tell = self.metrics.gauge
        tell("dibs_executor_slots", "Runs that are executed at once.", lambda: self.runner.slots)
        tell("dibs_executor_in_flight", "Runs in flight here.", lambda: len(self.in_flight))
        tell("dibs_executor_leases", "Leases that renewals name.", lambda: self.leases.count)
        tell(
            "dibs_executor_ignoring_cancellation",
            "Handlers that were told to stop and go on.",
            lambda: sum(one.ignoring for one in self.runner.executions()),
        )
        tell(
            "dibs_executor_draining",
            "Whether it begins nothing any more.",
            lambda: self.runner.draining,
        )
        tell(
            "dibs_executor_orchestrator_up",
            "Whether its last claim was answered.",
            lambda: not self._poller.orchestrator_is_away,
        )

    def _give_back_the_rest(self) -> None:
        for execution in self.runner.executions():
            self.runner.cancel(execution.lease.id, Cancellation.DRAINING)
        self.runner.wait_until_idle(GRACE_SECONDS)
        self.runner.release_running()
        self.runner.wait_until_idle(ANSWER_SECONDS, leases_only=True)

    def _settle_parked_claim(self, began_at: float) -> None:
        """Wait a moment for the last claim's answer; then free what it may have brought."""
        if self._poller.wait(max(0.0, began_at + 1.0 - monotonic_seconds())):
            self.runner.wait_until_idle(ANSWER_SECONDS, leases_only=True)
        else:
            self.leases.give_up_claims()
        if self.leases.settling_is_urgent:
            self.leases.wait_until_settled(ANSWER_SECONDS)
