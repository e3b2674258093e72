"""Who may speak to the service: tokens, without their secrets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from flask import Response

from orchestrator.api.access import WATCHERS, caller
from orchestrator.api.context import services
from orchestrator.api.queue_access import common_patterns
from orchestrator.pages.blueprint import page, pages
from orchestrator.pages.template import screen
from orchestrator.store.tokens import AccessToken, list_tokens
from orchestrator.store.transaction import transact

TOKENS_SHOWN: Final = 500


@dataclass(frozen=True, slots=True)
class Access:
    """A token as a page shows it; of its queues those that whoever looks may see."""

    name: str
    key_id: str
    role: str
    queues: tuple[str, ...]
    state: str
    development: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, token: AccessToken, queues: tuple[str, ...]) -> Self:
        state = "revoked" if token.revoked_at else "active" if token.active else "expired"
        return cls(
            token.name,
            token.key_id,
            token.role,
            queues,
            state,
            token.development,
            token.created_at,
            token.expires_at,
            token.revoked_at,
        )


@pages.get("/access")
@page(WATCHERS)
def show_access() -> Response:
    """Every token that is for a queue of the viewer's own; others' queues are left out."""
    ours = caller().queues
    found = transact(services().database.work, list_tokens)
    shared = [(token, common_patterns(ours, token.queues)) for token in found]
    seen = [Access.of(token, queues) for token, queues in shared if queues]
    return screen(
        "access.html",
        tokens=seen[:TOKENS_SHOWN],
        is_cut=len(seen) > TOKENS_SHOWN,
        tokens_shown=TOKENS_SHOWN,
    )
