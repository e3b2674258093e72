"""What claims ask for, and what they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from orchestrator.store.claim_requests import Key
from orchestrator.store.executors import OutOfService
from orchestrator.store.incidents import Process
from orchestrator.store.records import Dispatch


@dataclass(frozen=True, slots=True)
class Wish:
    """
    What one claim asks for.

    Attributes:
        key_id: The token that it is asked with.
        executor: The full name that the lease is granted to.
        body_hash: Tells a repeat of the request from another one.
        queues: Asked in this order, beginning at another one each time.
    """

    token_name: str
    key_id: str
    executor: str
    session: UUID
    request_id: UUID
    body_hash: bytes
    queues: tuple[str, ...]
    limit: int
    lease_seconds: int
    wait_seconds: float

    @property
    def key(self) -> Key:
        return (self.token_name, self.request_id)

    @property
    def process(self) -> Process:
        return (self.executor, self.session)


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """
    What a wish got.

    Attributes:
        next_poll_after_ms: How long to wait before the next. For the desk to say of one
            that is not final, but for 0: then a limit allows more after this time.
        out_of_service: Why whoever asked gets nothing, whatever there is.
    """

    dispatches: Sequence[Dispatch]
    next_poll_after_ms: int
    replayed: bool
    out_of_service: OutOfService | None = None

    @property
    def is_final(self) -> bool:
        """Whether waiting longer would change nothing."""
        return bool(self.dispatches or self.replayed or self.out_of_service)


@dataclass(frozen=True, slots=True)
class Asked:
    """
    A wish, as it is served this time.

    Attributes:
        queues: Those of the wish, in the order in which they are asked.
        parked_at: When it was parked, on this process's monotonic clock; None when it was not.
    """

    wish: Wish
    queues: tuple[str, ...]
    parked_at: float | None = None
