"""What an executor does to data: said before, and after. Kept of it is what runs need."""

from __future__ import annotations

from contextlib import suppress

from flask import Response

from orchestrator.api.access import EXECUTORS, allow, caller
from orchestrator.api.answer import answer
from orchestrator.api.compat.blueprint import Sent, compat, read
from orchestrator.api.compat.callers import by_server_token, server_token
from orchestrator.api.compat.server_token import ServerToken
from orchestrator.api.context import services
from orchestrator.api.parameters import request_id
from orchestrator.desk.compat_signs import HandedStep, Sign, begin_access, keep_lease
from orchestrator.errors import DispatchOver, NotFound

_TYPE = "activity-logs-requests"
_ROOT = f"/api/{_TYPE}"


class Attributes(Sent):
    """Whether it is read or written."""

    type: str


class Data(Sent):
    attributes: Attributes


class ActivityLog(Sent):
    """One access that is about to begin."""

    data: Data


@compat.post(_ROOT)
@allow(EXECUTORS, budgeted=False, told_by=by_server_token)
def access_begins() -> Response:
    """Let a step access data, as long as it is its executor's; refused, nothing is accessed."""
    asked, _ = read(ActivityLog)
    parts, token = services(), server_token()
    begin_access(
        parts.database,
        parts.lease_desk,
        _sign(token),
        # Whatever is not a reading may change something.
        writes=asked.data.attributes.type != "read",
    )
    log = {
        "id": str(token.step_index),
        "type": _TYPE,
        "attributes": {"index": str(token.number)},
    }
    return answer({"data": log})


@compat.patch(f"{_ROOT}/<index>/<log_id>/status")
@allow(EXECUTORS, budgeted=False, told_by=by_server_token)
def access_is_over(index: str, log_id: str) -> Response:
    """Hear that an access is over. It may come after the report, which then is no news."""
    token = server_token()
    if (index, log_id) != (str(token.number), str(token.step_index)):
        raise NotFound("There is no such activity log.")
    parts = services()
    with suppress(DispatchOver):
        keep_lease(parts.database, parts.lease_desk, _sign(token))
    return Response(status=204)


def _sign(token: ServerToken) -> Sign:
    step = HandedStep(token.step_index, token.fence)
    return Sign(caller().name, token.number, request_id(), step)
