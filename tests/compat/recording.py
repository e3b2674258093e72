"""Stand-ins that answer what was recorded, and nothing else."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from tests.compat.recorded import Exchange
from tests.compat.stand_in import Asked, Reply

POLL = "/api/workflow-orchestrator/pending-run"


@dataclass
class Recording:
    """
    One side of the recorded session.

    Each exchange is answered once, whoever asks exactly what was asked then. A
    poll more than was recorded finds nothing: how many there are is a matter of time.
    """

    left: list[Exchange]
    unexpected: list[Asked] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, asked: Asked) -> Reply:
        with self._lock:
            for exchange in self.left:
                if is_asked(asked, exchange):
                    self.left.remove(exchange)
                    if not exchange.has_body:
                        return Reply(exchange.status)
                    return Reply.json(exchange.answer, exchange.status)
            if asked.path == POLL:
                return Reply.json([])
            self.unexpected.append(asked)
            return Reply(500)


def is_asked(asked: Asked, exchange: Exchange) -> bool:
    wanted = (exchange.method, exchange.path, exchange.body)
    return (asked.method, asked.path, asked.body) == wanted and all(
        name in asked.headers for name in exchange.headers
    )
