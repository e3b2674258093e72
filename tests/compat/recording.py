"""Playing the recorded session again: stand-ins that answer it, and what a double asked of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from tests.compat.doubles import Double, Json
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


def played(double: Double) -> list[Json]:
    """
    What a double has asked of the orchestrator and the agent, in the order of sending.

    Polls that found nothing are left out: how many there are is a matter of time.
    """
    asked = [*double.asked(), *double.asked("agent")]
    told = [each for each in asked if (each["path"], each["answer"]) != (POLL, "[]")]
    return sorted(told, key=lambda each: each["n"])
