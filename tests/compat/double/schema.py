"""Collections as the orchestrator describes them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.compat.double.fields import Fields, Malformed


@dataclass(frozen=True)
class Schema:
    """
    One collection.

    Attributes:
        fields: Display names, by field.
        endpoints: Where the agent runs each action, by the action's name.
    """

    fields: dict[str, str]
    endpoints: dict[str, str]


def schema_of(value: object) -> Schema:
    """
    The schema, every field that the executor checks being checked.

    Raises:
        Malformed: The executor would stumble over it.
    """
    schema = Fields.of(value, "schema")
    schema.text("collectionName")
    schema.text("collectionId")
    if not schema.has("collectionDisplayName"):
        raise Malformed("schema.collectionDisplayName: missing")
    if schema.get("collectionDisplayName") is not None:
        schema.any_text("collectionDisplayName")
    if not schema.array("primaryKeyFields"):
        raise Malformed("schema.primaryKeyFields: empty")
    fields = {}
    for field in schema.objects("fields"):
        field.flag("isRelationship")
        fields[field.text("fieldName")] = field.text("displayName")
    actions = schema.objects("actions") if schema.has("actions") else []
    return Schema(fields, {action.text("name"): _endpoint(action) for action in actions})


def _endpoint(action: Fields) -> str:
    """Where an action is run; without hooks and fields its form would be asked for first."""
    action.text("displayName")
    action.array("fields")
    hooks = action.object("hooks")
    hooks.flag("load")
    hooks.array("change")
    return action.text("endpoint")
