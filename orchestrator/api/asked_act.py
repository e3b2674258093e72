"""What the present request asks for, as the ledger of operators' acts has it."""

from __future__ import annotations

from typing import Any

from uuid_utils.compat import uuid7

from orchestrator.api.access import caller
from orchestrator.api.parameters import request_id
from orchestrator.lifecycle import ActKind
from orchestrator.store.operator_acts import OperatorAct


def asked_act(
    kind: ActKind, subject: str, *, queue: str | None = None, **detail: Any
) -> OperatorAct:
    """
    The line of this request. Make it before its transaction: a second try is no second line.

    Args:
        subject: What it is done to, by its name.
        detail: What was asked for; None is left out. No payload, no secret.
    """
    who = caller()
    return OperatorAct(
        id=uuid7(),
        actor=who.name,
        kind=kind,
        subject=subject,
        key_id=who.key_id,
        request_id=request_id(),
        queue=queue,
        detail=detail,
    )
