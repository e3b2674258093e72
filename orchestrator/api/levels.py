"""How things stand in one process, said each second for whoever is asked for `/metrics`."""

from __future__ import annotations

import resource
import threading
import time
from pathlib import Path
from typing import Final, cast

from orchestrator.api.context import Services
from orchestrator.metrics.meter import PUBLISHED_AT
from orchestrator.store.pool import PatientPool

PUBLISH_SECONDS: Final = 1.0
_PAGE_BYTES: Final = resource.getpagesize()
_STARTED_AT: Final = time.time()


def publish(parts: Services) -> None:
    """Put down how things stand now."""
    levels = parts.levels
    levels.workers.put(1)
    levels.draining.put(parts.draining.is_set())
    levels.parked.put(parts.claim_desk.parked)
    levels.parked_limit.put(parts.settings.parked_claims)
    levels.waiting_claims.put(parts.claim_desk.waiting)
    levels.bell_listens.put(parts.bell.hears_others)
    for name, engine in parts.database.pools.items():
        pool = cast(PatientPool, engine.pool)
        levels.in_use[(name,)].put(pool.checkedout())
        levels.limit[(name,)].put(pool.size())
        levels.waiting[(name,)].put(pool.waiting)
    levels.cpu_seconds.put(time.process_time())
    levels.started_at.put(_STARTED_AT)
    levels.resident_bytes.put(_resident_bytes())
    levels.open_files.put(sum(1 for _ in Path("/proc/self/fd").iterdir()))
    parts.meter.row[PUBLISHED_AT] = time.monotonic()


def start_publishing(parts: Services) -> None:
    """Put it down each second, for as long as the process lives."""

    def run() -> None:
        while True:
            publish(parts)
            parts.last_minute.note()
            time.sleep(PUBLISH_SECONDS)

    threading.Thread(target=run, name="levels", daemon=True).start()


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
