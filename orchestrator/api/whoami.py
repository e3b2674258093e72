"""Who is asking, as the service sees it."""

from __future__ import annotations

from flask import Response

from orchestrator.api.access import EVERYONE, ON_BEHALF_OF, allow, caller, on_behalf_of
from orchestrator.api.answer import answer
from orchestrator.api.blueprint import blueprint, takes
from orchestrator.api.wire.service import Identity

whoami = blueprint("whoami")


@whoami.get("/v1/whoami")
@allow(EVERYONE)
@takes(ON_BEHALF_OF)
@whoami.output(Identity)
def show() -> Response:
    """The caller's token; for an executor the one in Dibs-On-Behalf-Of, when it sends that."""
    who = on_behalf_of() or caller()
    return answer(
        {
            "name": who.name,
            "role": who.role,
            "queues": who.queues,
            "expiresAt": who.expires_at,
        }
    )
