"""Workflows: put a definition, read what is defined."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from flask import Response
from sqlalchemy import Connection

from orchestrator import definition as rules
from orchestrator.api.access import OPERATORS, WATCHERS, allow, caller
from orchestrator.api.answer import answer
from orchestrator.api.asked_act import asked_act
from orchestrator.api.blueprint import blueprint, refuses
from orchestrator.api.context import services
from orchestrator.api.parameters import name_of
from orchestrator.api.payload import body_hash, payload_text
from orchestrator.api.queue_access import require_all_queues
from orchestrator.api.repeats import NATURALLY, repeats
from orchestrator.api.wire.queries import WorkflowQuery
from orchestrator.api.wire.workflows import (
    Definition,
    Put,
    WorkflowDetails,
    WorkflowList,
)
from orchestrator.errors import NotFound, ValidationFailed
from orchestrator.lifecycle import ActKind
from orchestrator.store import operator_acts
from orchestrator.store import workflows as store
from orchestrator.store.records import text_of
from orchestrator.store.transaction import transact

workflows = blueprint("workflows")


@workflows.put("/v1/workflows/<name>")
@allow(OPERATORS)
@refuses(NotFound)
@repeats(NATURALLY, "The same content is the same version.")
@workflows.input(Definition, arg_name="asked")
@workflows.output(Put)
def put(name: str, asked: Definition) -> Response:
    """Make a definition the current one; the same content is the same version.

    A step type that no executor serves yet is a warning, not a fault. Only for tokens for
    all queues: runs of every queue follow it, and go where its steps say.
    """
    require_all_queues(caller(), "Runs of every queue follow a definition")
    content = asked.model_dump(mode="json", by_alias=True)
    steps = content["steps"]
    if faults := rules.faults(steps):
        raise ValidationFailed([{"path": path, "message": text} for path, text in faults])
    new = store.NewDefinition(
        name=name_of(name),
        definition=payload_text(content, ""),
        first_step=steps[0]["name"],
        steps=payload_text(rules.by_name(steps), "/steps"),
        content_hash=body_hash("definition", content),
        actor=caller().name,
    )

    line = asked_act(ActKind.PUT_WORKFLOW, new.name)

    def write(connection: Connection) -> tuple[int, set[str]]:
        version = store.put(connection, new)
        operator_acts.note(connection, replace(line, detail={"version": version}))
        return version, store.served_step_types(connection)

    version, served = transact(services().database.work, write)
    warnings = [
        f"step {step['name']}: no executor serves the type {step['type']} now"
        for step in steps
        if step["type"] not in served
    ]
    return answer({"name": new.name, "version": version, "warnings": warnings})


@workflows.get("/v1/workflows")
@allow(WATCHERS)
@workflows.output(WorkflowList)
def list_all() -> Response:
    """The current version of every workflow, by name."""

    def read(connection: Connection) -> tuple[list[store.Definition], set[str]]:
        return store.list_current(connection), store.served_step_types(connection)

    found, served = transact(services().database.work, read)
    return answer({"items": [_body(one, served) for one in found]})


@workflows.get("/v1/workflows/<name>")
@allow(WATCHERS)
@refuses(NotFound)
@workflows.input(WorkflowQuery, location="query", arg_name="asked")
@workflows.output(WorkflowDetails)
def show(name: str, asked: WorkflowQuery) -> Response:
    """One workflow: its current version, or the one asked for."""
    known = name_of(name)

    def read(connection: Connection) -> tuple[store.Definition, set[str], list[int]]:
        found = store.find(connection, known, version=asked.version)
        if found is None:
            raise NotFound(f"There is no such version of a workflow {known}.")
        served = store.served_step_types(connection)
        return found, served, store.versions(connection, known)

    found, served, versions = transact(services().database.work, read)
    return answer(_body(found, served) | {"versions": versions})


def _body(found: store.Definition, served: set[str]) -> dict[str, Any]:
    types = {step["type"] for step in orjson.loads(text_of(found.definition))["steps"]}
    return {
        "name": found.name,
        "version": found.version,
        "current": found.is_current,
        "definition": found.definition,
        "unservedStepTypes": sorted(types - served),
        "createdBy": found.created_by,
        "createdAt": found.created_at,
    }
