"""Every request has an id: in the answer's X-Request-Id, in problems, in the log."""

from __future__ import annotations

import re
from typing import Final

from flask import Response
from uuid_utils import uuid7

from orchestrator.api.call import Call
from orchestrator.logs import begin_log

HEADER: Final = "X-Request-Id"

# Anything else that a client sends is not reflected, and not kept.
_SANE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def take_request_id(present: Call) -> None:
    """Take the client's id when it is sane, else make one."""
    sent = present.environ.get("HTTP_X_REQUEST_ID", "")
    present.request_id = request_id = sent if _SANE.fullmatch(sent) else str(uuid7())
    begin_log(request_id)


def give_request_id(present: Call, answered: Response) -> None:
    """Give the request's id back with its answer."""
    answered.headers.add(HEADER, present.request_id)
