"""How one double is to behave."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self

import orjson


@dataclass(frozen=True)
class Options:
    """
    What a double is told when it starts.

    Attributes:
        secret: Its `forest-secret-key`.
        users_key: Signs what its users bring, and what it brings to the agent.
        gates: A directory; it waits at a point until the point's file is there.
        hold_at: The points at which it waits, as `point` or `point@step`.
        poll_seconds: From the end of what one poll brought to the next one.
        latency_seconds: What the way to the orchestrator and back takes.
        source_host: The address that it comes from.
        store: A directory that outlives it and that others may share; None is memory.
    """

    name: str
    orchestrator_url: str
    agent_url: str
    secret: str
    users_key: str
    gates: str
    hold_at: tuple[str, ...] = ()
    poll_seconds: float = 1.0
    client_timeout_seconds: float = 10.0
    latency_seconds: float = 0.0
    source_host: str = "127.0.0.1"
    store: str | None = None

    def to_json(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        members = orjson.loads(text)
        return cls(**{**members, "hold_at": tuple(members["hold_at"])})
