"""The executor's entry in the orchestrator's registry."""

import threading
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import structlog

from executor.client import Orchestrator
from executor.retry import until_answered
from executor.transport import RefusedError, UnansweredError

log = structlog.get_logger()

LONGEST_PAUSE_SECONDS = 5.0


class NotWelcomeError(Exception):
    """The orchestrator does not accept this executor's token; the message says so."""

    exit_code = 78


class Registration:
    """What this process says of itself: when it starts, and when it is being stopped."""

    def __init__(self, orchestrator: Orchestrator, facts: Mapping[str, Any]) -> None:
        self._orchestrator = orchestrator
        self._facts = facts
        self._request_id = str(uuid4())
        self._withdrawn = threading.Event()
        self._withdrawal: threading.Thread | None = None

    def announce(self) -> None:
        """
        Register now; while the orchestrator is away, in the background.

        Raises:
            NotWelcomeError: The token is not good for an executor.
        """
        try:
            self._orchestrator.register(self._facts, request_id=self._request_id)
        except RefusedError as refusal:
            if refusal.status in (401, 403):
                raise NotWelcomeError(
                    f"The orchestrator refuses EXECUTOR_TOKEN ({refusal.status}): {refusal}"
                ) from None
            _log_refusal(refusal)
        except UnansweredError:
            self._in_background(self._announce_until_answered)
        else:
            log.info("registered", **self._facts)

    def withdraw(self) -> None:
        """Say, without waiting for an answer, that this session wants nothing more."""
        self._withdrawn.set()
        self._withdrawal = self._in_background(self._withdraw_once)

    def wait(self, timeout_seconds: float) -> None:
        """Wait until a withdrawal is answered."""
        if self._withdrawal is not None:
            self._withdrawal.join(timeout_seconds)

    def _announce_until_answered(self) -> None:
        try:
            until_answered(
                lambda: self._orchestrator.register(self._facts, request_id=self._request_id),
                give_up=self._withdrawn.is_set,
                longest_pause_seconds=LONGEST_PAUSE_SECONDS,
            )
        except RefusedError as refusal:
            _log_refusal(refusal)
        except UnansweredError:
            return
        else:
            log.info("registered", **self._facts)

    def _withdraw_once(self) -> None:
        try:
            self._orchestrator.register(
                {**self._facts, "draining": True, "replaces": None}, request_id=str(uuid4())
            )
        except (RefusedError, UnansweredError) as error:
            log.info("withdrawal_failed", reason=str(error))

    def _in_background(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name="registration", daemon=True)
        thread.start()
        return thread


def _log_refusal(refusal: RefusedError) -> None:
    log.error("registration_refused", status=refusal.status, code=refusal.code, reason=str(refusal))
