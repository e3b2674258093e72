"""A run as the adapter's executors get it: its steps so far, and the one to execute.

They check every member that stands here, and read no other.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.api.compat.profile import Subject, subject_of
from orchestrator.api.compat.server_token import ServerToken, sign_server_token
from orchestrator.api.context import services
from orchestrator.desk.compat_claims import Handed, members_of
from orchestrator.desk.compat_steps import StepDefinition, step_definition
from orchestrator.store.compat_runs import PastStep

Body = dict[str, Any]

_TEAM: Final = "dibs"


def run_body(handed: Handed, *, key_id: str) -> Body:
    """
    What an executor is handed.

    Args:
        key_id: Of the token that it claimed with.
    """
    run, settings = handed.dispatch.run, services().settings
    subject = subject_of(run.id, run.workflow, run.workflow_version, run.input)
    return {
        "id": handed.number,
        "workflowId": run.workflow,
        "bpmnVersion": str(run.workflow_version or 1),
        "runState": run.run_state,
        "triggerType": "manual",
        "collectionId": subject.collection_id,
        "collectionName": subject.collection_name,
        "selectedRecordId": subject.record_id,
        "workflowHistory": [*map(_done, handed.past), _current(handed)],
        "userId": subject.user_id,
        "renderingId": settings.compat_rendering_id,
        "userProfile": _profile(handed, subject, key_id),
        "createdAt": run.created_at,
        "updatedAt": run.locked_at,
        "lockedAt": run.locked_at,
    }


def _profile(handed: Handed, subject: Subject, key_id: str) -> Body:
    run, lease, settings = handed.dispatch.run, handed.dispatch.lease, services().settings
    token = ServerToken(handed.number, run.step_index, lease.fence, key_id)
    return {
        "id": subject.user_id,
        "email": settings.compat_user_email,
        "firstName": run.created_by,
        "lastName": "",
        "team": _TEAM,
        "role": _TEAM,
        "permissionLevel": "user",
        "renderingId": settings.compat_rendering_id,
        # They reach every handler that the step calls, in a token that is signed there.
        "tags": {
            "fence": str(lease.fence),
            "key": f"{run.id}:{run.step_index}",
            "runId": str(run.id),
            "step": run.step_name,
        },
        "serverToken": sign_server_token(settings.secret_key.get_secret_value(), token),
    }


def _current(handed: Handed) -> Body:
    run = handed.dispatch.run
    definition = step_definition(run.step_name, run.step_type, members_of(handed.dispatch.params))
    entry = _entry(run.step_name, run.step_index, definition, done=False)
    if handed.dispatch.resume_input is not None:
        entry["context"] = {"status": "awaiting-input"}
    return entry


def _done(step: PastStep) -> Body:
    definition = step_definition(step.name, step.type, members_of(step.params))
    context = {"status": "success"} | ({"selectedOption": step.option} if step.option else {})
    return _entry(step.name, step.step_index, definition, done=True) | {"context": context}


def _entry(name: str, step_index: int, definition: StepDefinition, *, done: bool) -> Body:
    return {
        "stepName": name,
        "stepIndex": step_index,
        "done": done,
        "stepDefinition": definition,
    }
