"""Collections, made up of a workflow's definition: an action for each type of step.

What a definition's own steps of theirs name, fields and actions, stands in it as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

import orjson
from flask import Response, request
from sqlalchemy import Connection

from orchestrator.api.access import EXECUTORS, allow, caller
from orchestrator.api.answer import answer
from orchestrator.api.compat.blueprint import ROOT, compat
from orchestrator.api.compat.callers import by_secret
from orchestrator.api.compat.profile import Subject, subject_of
from orchestrator.api.compat.runs import number_of
from orchestrator.api.context import services
from orchestrator.api.parameters import request_id
from orchestrator.desk.compat_signs import Sign, keep_lease
from orchestrator.desk.compat_steps import is_verbatim
from orchestrator.errors import DispatchOver, NotFound
from orchestrator.lifecycle import covers
from orchestrator.store import compat_runs, workflows
from orchestrator.store.compat_runs import Definition
from orchestrator.store.records import Json, text_of
from orchestrator.store.transaction import transact

Members = Mapping[str, Any]

_NO_COLLECTION: Final = "There is no such collection."
_PRIMARY_KEY: Final = "id"
# What a field is taken for of which nothing is known.
_TEXT: Final = "String"


@compat.get(f"{ROOT}/collection-schema/<path:name>")
@allow(EXECUTORS, told_by=by_secret)
def collection_schema(name: str) -> Response:
    """What a run's collection looks like. Asked for under a lease, it keeps that."""
    number = number_of(request.args.get("runId"))
    if number is None:
        raise NotFound(_NO_COLLECTION)
    subject, steps = transact(
        services().database.work, lambda connection: _collection(connection, number, name)
    )
    _keep(number)
    return answer(_schema(subject, steps))


def _collection(
    connection: Connection, number: int, name: str
) -> tuple[Subject, Sequence[Members]]:
    """What the run with this number is about, and the steps that its collection is made of."""
    found = compat_runs.definition_of(connection, number)
    if found is None or not (covers(caller().queues, found.queue) or _holds(connection, number)):
        raise NotFound(_NO_COLLECTION)
    subject = subject_of(None, found.workflow, found.version, found.input)
    if subject.collection_name != name:
        raise NotFound(_NO_COLLECTION)
    steps = _steps(found)
    if subject.shares_collection:
        # What they keep under this name is to do for the other workflows as well.
        others = [each.definition for each in workflows.list_current(connection)]
        steps = [*(step for each in others for step in _read(each)["steps"]), *steps]
    return subject, steps


def _holds(connection: Connection, number: int) -> bool:
    """Whether the caller has this run now: a step may be of his queues, and its run of another."""
    run = compat_runs.find(connection, number, token_name=caller().name)
    return run is not None and run.lease_id is not None


def _keep(number: int) -> None:
    parts = services()
    # Whoever has lost his lease may look all the same, and is told when he acts.
    with suppress(DispatchOver):
        keep_lease(parts.database, parts.lease_desk, Sign(caller().name, number, request_id()))


def _steps(definition: Definition) -> Sequence[Members]:
    if definition.steps is None:
        return [{"type": definition.step_type}]
    steps: list[Members] = _read(definition.steps)
    return steps


def _read(value: Json) -> Any:
    return orjson.loads(text_of(value))


def _schema(subject: Subject, steps: Sequence[Members]) -> dict[str, Any]:
    fields: dict[str, str] = {_PRIMARY_KEY: _TEXT}
    actions: dict[str, str] = {}
    for step in steps:
        params = step.get("params") or {}
        if is_verbatim(params):
            for name, kind in _fields(params):
                if name not in fields or kind != _TEXT:
                    fields[name] = kind
            actions |= _actions(params)
        else:
            actions[step["type"]] = _address(step["type"])
    return {
        "collectionName": subject.collection_name,
        "collectionId": subject.collection_id,
        "collectionDisplayName": subject.collection_name,
        "primaryKeyFields": [_PRIMARY_KEY],
        "fields": [
            {"fieldName": name, "displayName": name, "isRelationship": False, "type": kind}
            for name, kind in fields.items()
        ],
        "actions": [
            {
                "name": name,
                "displayName": name,
                "endpoint": endpoint,
                "type": "single",
                # Said outright, so that the form is not asked for where the action is.
                "fields": [],
                "hooks": {"load": False, "change": []},
            }
            for name, endpoint in actions.items()
        ],
    }


def _arguments(params: Members) -> Members:
    arguments = params.get("preRecordedArgs")
    return arguments if isinstance(arguments, Mapping) else {}


def _fields(params: Members) -> Iterator[tuple[str, str]]:
    arguments = _arguments(params)
    names = arguments.get("fieldNames")
    for name in names if isinstance(names, list) else []:
        if isinstance(name, str) and name:
            yield name, _TEXT
    name = arguments.get("fieldName")
    if isinstance(name, str) and name:
        yield name, _kind(arguments.get("value"))


def _actions(params: Members) -> dict[str, str]:
    name, endpoint = _arguments(params).get("actionName"), params.get("endpoint")
    if not isinstance(name, str) or not name:
        return {}
    return {name: endpoint if isinstance(endpoint, str) and endpoint else _address(name)}


def _address(step_type: str) -> str:
    """Where the HTTP handler of a step type is."""
    return services().settings.compat_handler_path.replace("{type}", quote(step_type, safe=""))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "Boolean"
    return "Number" if isinstance(value, int | float) else _TEXT
