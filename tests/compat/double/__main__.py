"""One double: `python -m tests.compat.double <options as JSON>`; SIGTERM ends it."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from tests.compat.double.agent import Agent
from tests.compat.double.chain import Chain
from tests.compat.double.face import Face, serve
from tests.compat.double.http1 import Way
from tests.compat.double.journal import STARTED, Journal
from tests.compat.double.options import Options
from tests.compat.double.orchestrator import Orchestrator
from tests.compat.double.points import Points
from tests.compat.double.poller import Poller
from tests.compat.double.run_store import RunStore
from tests.compat.double.steps import Steps

LOOPBACK = "127.0.0.1"


def run(options: Options) -> None:
    """Work until SIGTERM: what is being executed is finished, and nothing is given back."""
    journal = Journal()
    orchestrator = Orchestrator(
        Way(
            "orchestrator",
            options.orchestrator_url,
            journal,
            options.client_timeout_seconds,
            options.latency_seconds,
            options.source_host,
        ),
        options.secret,
    )
    agent = Agent(
        Way("agent", options.agent_url, journal, options.client_timeout_seconds), options.users_key
    )
    store = RunStore(Path(options.store) if options.store else None)
    points = Points(frozenset(options.hold_at), Path(options.gates), journal)
    chain = Chain(orchestrator, Steps(orchestrator, agent, store, points), points, journal)
    face = Face(orchestrator, chain, store, options.users_key)
    poller = Poller(orchestrator, chain, journal, options.poll_seconds)

    signal.signal(signal.SIGTERM, lambda *_: chain.stopping.set())
    agent.probe()
    orchestrator.tell_version()
    server = serve(face, LOOPBACK)
    polling = threading.Thread(target=poller.run, name="poller")
    polling.start()
    journal.write(STARTED, url=f"http://{LOOPBACK}:{server.server_port}")
    chain.stopping.wait()
    server.shutdown()
    polling.join()
    face.wait()


if __name__ == "__main__":
    run(Options.from_json(sys.argv[1]))
