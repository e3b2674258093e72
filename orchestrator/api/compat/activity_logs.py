"""What an executor does to data: said before, and after. Kept of it is what runs need."""

from __future__ import annotations

from contextlib import suppress

from flask import Response

from orchestrator.api.access import EXECUTORS, allow, caller
from orchestrator.api.answer import answer
from orchestrator.api.compat.blueprint import Sent, compat, read
from orchestrator.api.compat.callers import by_server_token, server_token
from orchestrator.api.context import services
from orchestrator.api.parameters import request_id
from orchestrator.desk.compat_signs import Sign, keep_lease
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
def begin_access() -> Response:
    """Let a step access data, as long as it is its executor's; refused, nothing is accessed."""
    asked, _ = read(ActivityLog)
    # Whatever is not a reading may change something.
    _keep(writes=asked.data.attributes.type != "read")
    token = server_token()
    log = {
        "id": str(token.step_index),
        "type": _TYPE,
        "attributes": {"index": str(token.number)},
    }
    return answer({"data": log})


@compat.patch(f"{_ROOT}/<index>/<log_id>/status")
@allow(EXECUTORS, budgeted=False, told_by=by_server_token)
def end_access(index: str, log_id: str) -> Response:
    """Hear that an access is over. It may come after the report, which then is no news."""
    token = server_token()
    if (index, log_id) != (str(token.number), str(token.step_index)):
        raise NotFound("There is no such activity log.")
    with suppress(DispatchOver):
        _keep(writes=False)
    return Response(status=204)


def _keep(*, writes: bool) -> None:
    parts, token = services(), server_token()
    sign = Sign(
        caller().name,
        token.number,
        request_id(),
        step_index=token.step_index,
        fence=token.fence,
    )
    keep_lease(parts.database, parts.lease_desk, sign, writes=writes)
