"""Every setting of both programs: its variable, its default, what it means."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from docs._build.markdown import MADE, table
from executor.settings import Settings as ExecutorSettings
from orchestrator.settings import Settings as OrchestratorSettings
from orchestrator.settings import variable


def page() -> str:
    """The page."""
    return f"""# Settings

{MADE}

Both programs read their settings from the environment, once, at their start. Whatever is missing or
wrong is named in one message, and the program exits with 78. Every secret may come from a file
instead, which `<NAME>_FILE` names; one that is set both ways is refused.

## The orchestrator

{_of(OrchestratorSettings, {name: variable(name) for name in OrchestratorSettings.model_fields})}

## The executor

{_of(ExecutorSettings, _aliases(ExecutorSettings))}
"""


def _of(model: type[BaseModel], variables: dict[str, str]) -> str:
    rows = [
        (f"`{variables[name]}`", _default(field), _range(field), field.description or "")
        for name, field in model.model_fields.items()
    ]
    return table(["variable", "default", "allowed", "what it is"], rows)


def _aliases(model: type[BaseModel]) -> dict[str, str]:
    return {name: str(field.validation_alias) for name, field in model.model_fields.items()}


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "see there"
    if field.default is PydanticUndefined:
        return "**needed**"
    return f"`{_shown(field.default)}`" if field.default not in (None, "", ()) else ""


def _shown(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _range(field: FieldInfo) -> str:
    bounds = {name: bound for each in field.metadata for name, bound in _bounds(each)}
    if "ge" in bounds and "le" in bounds:
        return f"{bounds['ge']} to {bounds['le']}"
    return f"{bounds['ge']} or more" if "ge" in bounds else ""


def _bounds(constraint: Any) -> list[tuple[str, Any]]:
    return [(name, getattr(constraint, name)) for name in ("ge", "le") if hasattr(constraint, name)]
