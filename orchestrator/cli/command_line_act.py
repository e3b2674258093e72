"""What a command does, as the ledger of operators' acts has it."""

import os
import pwd
from typing import Any

from uuid_utils.compat import uuid7

from orchestrator.lifecycle import ActKind
from orchestrator.store.operator_acts import OperatorAct


def command_line_act(kind: ActKind, subject: str, **detail: Any) -> OperatorAct:
    """
    The line of this command, by the user whose process it is.

    No token's name has a colon: none can be taken for the command line.

    Args:
        subject: What it is done to, by its name.
        detail: What was asked for; None is left out. No secret.
    """
    return OperatorAct(
        id=uuid7(), actor=f"cli:{_user()}", kind=kind, subject=subject, detail=detail
    )


def _user() -> str:
    # By the process, not by its environment, which says what somebody wrote there.
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
