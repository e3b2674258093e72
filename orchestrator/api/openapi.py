"""The OpenAPI document: what APIFlask collects from the routes, completed.

APIFlask knows paths, bodies and answers. Added here, from what the views
declare: who may, how it repeats, and every status that a route can answer with.
What many routes share (`openapi_shared.py`) stands once, under components.
"""

from __future__ import annotations

import re
from typing import Any

from apiflask import APIFlask
from pydantic.json_schema import models_json_schema

from orchestrator import errors
from orchestrator.api import refusals
from orchestrator.api.access import roles_of
from orchestrator.api.blueprint import COMPONENT, header_of, is_needed, refusals_of
from orchestrator.api.openapi_shared import (
    HEADERS,
    RESPONSES,
    WHATEVER_IS_ASKED,
    of_problem,
    of_the_server,
    request_header,
    with_request_id,
)
from orchestrator.api.problems import status_of
from orchestrator.api.repeats import repetition_of
from orchestrator.api.wire.members import Body, View
from orchestrator.errors import DibsError

Document = dict[str, Any]

_SCHEME = "bearer"

_OF_EVERY_ROUTE: tuple[type[DibsError], ...] = (
    refusals.MalformedRequest,
    refusals.InternalError,
)
_OF_EVERY_SCHEME: tuple[type[DibsError], ...] = (
    errors.Unauthenticated,
    errors.InsufficientScope,
    errors.RateLimited,
    errors.Unavailable,
    errors.Overloaded,
)
_OF_EVERY_BODY: tuple[type[DibsError], ...] = (
    errors.OutcomeUnknown,
    refusals.RequestTimeout,
    refusals.MalformedJson,
    refusals.JsonTooComplex,
    refusals.JsonNumberOutOfRange,
    refusals.PayloadTooLarge,
    refusals.UnsupportedMediaType,
    refusals.UnsupportedEncoding,
    refusals.UnsupportedCharacter,
    errors.ValidationFailed,
)


def register_openapi(app: APIFlask) -> None:
    """Let APIFlask make an OpenAPI 3.1 document and complete it."""
    app.config.update(
        OPENAPI_VERSION="3.1.0",
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        AUTO_AUTH_ERROR_RESPONSE=False,
        AUTO_404_RESPONSE=False,
        AUTO_SERVERS=False,
        AUTO_OPERATION_ID=True,
        SECURITY_SCHEMES={
            _SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "dibs_<keyId>_<secret>"}
        },
    )

    @app.spec_processor
    def complete(document: Document | str) -> Document:
        if isinstance(document, str):
            raise TypeError("the document is made as JSON")
        document["info"]["description"] += f" {WHATEVER_IS_ASKED}"
        _add_components(document)
        for rule in app.url_map.iter_rules():
            path = document["paths"].get(re.sub(r"<(?:[^:<>]*:)?([^<>]*)>", r"{\1}", rule.rule))
            for method, operation in (path or {}).items():
                if method.upper() in (rule.methods or ()):
                    _complete_operation(operation, app.view_functions[rule.endpoint])
        return document


def _add_components(document: Document) -> None:
    """Every model of the wire under its own name; answers as they are written."""
    wanted: list[tuple[type[Any], Any]] = [
        *((model, "validation") for model in _leaves(Body)),
        *((model, "serialization") for model in _leaves(View)),
    ]
    _, schemas = models_json_schema(wanted, ref_template=COMPONENT)
    document["components"] |= {
        "schemas": schemas["$defs"],
        "headers": HEADERS,
        "responses": RESPONSES,
    }


def _leaves(model: type[Any]) -> list[type[Any]]:
    return [found for child in model.__subclasses__() for found in (child, *_leaves(child))]


def _complete_operation(operation: Document, view: Any) -> None:
    roles = roles_of(view)
    kinds = [*_OF_EVERY_ROUTE, *refusals_of(view)]
    if roles:
        kinds += _OF_EVERY_SCHEME
        operation["security"] = [{_SCHEME: []}]
        operation["x-roles"] = sorted(roles)
    else:
        operation["security"] = []
    if repetition := repetition_of(view):
        told = [operation.get("description"), f"Repeatable. {repetition.sentence}"]
        operation["description"] = "\n\n".join(filter(None, told))
        operation["x-repeatable"] = repetition.way
    if header := header_of(view):
        operation["parameters"].append(request_header(header))
    if "requestBody" in operation:
        kinds += _OF_EVERY_BODY
        operation["requestBody"]["required"] = is_needed(view._spec["body"])  # noqa: SLF001
    places = {parameter["in"] for parameter in operation["parameters"]}
    if "query" in places:
        kinds.append(errors.ValidationFailed)
    if "path" in places:
        # A slash in a parameter, however it is written, is another path.
        kinds.append(errors.NotFound)
    answers = {status: with_request_id(each) for status, each in operation["responses"].items()}
    problems = {
        str(status): of_problem(status, codes) for status, codes in _by_status(kinds).items()
    }
    operation["responses"] = dict(sorted((answers | problems | of_the_server()).items()))


def _by_status(kinds: list[type[DibsError]]) -> dict[int, set[str]]:
    statuses: dict[int, set[str]] = {}
    for kind in kinds:
        statuses.setdefault(status_of(kind), set()).add(kind.code)
    return statuses
