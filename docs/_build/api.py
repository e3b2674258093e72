"""The API, from the OpenAPI document that the orchestrator serves."""

from __future__ import annotations

import json
from collections import Counter
from itertools import groupby
from typing import Any, cast

from apiflask import APIFlask

from docs._build.markdown import MADE, table
from orchestrator.app import create_app
from orchestrator.settings import load

Json = dict[str, Any]

# Nothing is connected to make the document.
_SETTINGS = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "DIBS_SECRET_KEY": "nothing is signed with this key",
}


def page() -> str:
    """The page."""
    document = _document()
    operations = [
        (operation["tags"][0] if operation.get("tags") else "Service", method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    operations.sort(key=lambda found: (found[0], found[2], found[1]))
    common = _common_codes([operation for *_, operation in operations])
    parts = [
        f"""# The API

{MADE}

The document that the orchestrator serves at `/openapi.json` is the contract; this page is made from it.
`Authorization: Bearer dibs_…` on all but the open routes. Bodies are JSON; a member that is not known is
refused, a member of an answer that you do not know is to be ignored. Times are RFC 3339, UTC,
milliseconds. [Problems](problems.md) has every refusal; named here are those that are a route's own."""
    ]
    for tag, group in groupby(operations, key=lambda found: found[0]):
        parts.append(f"## {tag}")
        parts += [_operation(method, path, each, common) for _, method, path, each in group]
    parts.append("## Bodies")
    parts += [_model(name, model) for name, model in document["components"]["schemas"].items()]
    return "\n\n".join(parts) + "\n"


def _document() -> Json:
    app = create_app(load(_SETTINGS))
    with app.app_context():
        return cast(Json, cast(APIFlask, app)._get_spec("json"))


def _operation(method: str, path: str, operation: Json, common: set[str]) -> str:
    roles = ", ".join(operation.get("x-roles", [])) or "anybody"
    parts = [f"### {method} {path}", f"{operation['summary']} *For: {roles}.*"]
    if said := operation.get("description"):
        parts.append(said)
    if asked := [each for each in operation["parameters"] if each["in"] != "path"]:
        rows = [
            (f"`{each['name']}`", each["in"], _type(each["schema"]), each.get("description", ""))
            for each in asked
        ]
        parts.append(table(["parameter", "in", "type", "means"], rows))
    exchanged = [("Body", operation["requestBody"])] if "requestBody" in operation else []
    exchanged += [
        (status, answer)
        for status, answer in operation["responses"].items()
        if status.startswith("2") and "content" in answer
    ]
    if exchanged:
        told = [f"{what} {_type(_schema(part))}" for what, part in exchanged]
        parts.append(f"{'; '.join(told)}.")
    refused = [
        f"{status} [{code}](problems.md#{code})"
        for status, code in _codes(operation)
        if code not in common
    ]
    if refused:
        parts.append(f"Refused with {', '.join(refused)}.")
    return "\n\n".join(parts)


def _model(name: str, model: Json) -> str:
    needed = set(model.get("required", ()))
    rows = [
        (
            f"`{member}`",
            _type(schema),
            "needed" if member in needed else _default(schema),
            schema.get("description", ""),
        )
        for member, schema in model.get("properties", {}).items()
    ]
    parts = [f"### {name}", model.get("description", "").replace("\n", " ")]
    if rows:
        parts.append(table(["member", "type", "", "means"], rows))
    else:
        parts.append(f"{_type(model)}")
    return "\n\n".join(filter(None, parts))


def _schema(part: Json) -> Json:
    (kind,) = part["content"].values()
    return cast(Json, kind["schema"])


def _codes(operation: Json) -> list[tuple[str, str]]:
    return [
        (status, code)
        for status, answer in operation["responses"].items()
        if status.startswith("4")
        for code in answer.get("description", "").split(", ")
        if code
    ]


def _common_codes(operations: list[Json]) -> set[str]:
    """What so many routes answer that it says nothing of one."""
    counted = Counter(code for each in operations for _, code in _codes(each))
    return {code for code, count in counted.items() if count > len(operations) / 2 - 4}


def _default(schema: Json) -> str:
    return f"`{json.dumps(schema['default'])}`" if "default" in schema else ""


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema or "oneOf" in schema:
        return " or ".join(_type(each) for each in schema.get("anyOf") or schema["oneOf"])
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    kind = schema.get("type", "any JSON")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}{_between(schema, 'Items')}"
    if "format" in schema:
        return str(schema["format"])
    return f"{kind}{_between(schema, 'Length')}{_range(schema)}"


def _between(schema: Json, what: str) -> str:
    most = schema.get(f"max{what}")
    return f", at most {most:,}" if most else ""


def _range(schema: Json) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    return f" {least:,}…{most:,}" if least is not None and most is not None else ""
