"""What every blueprint is made of: APIFlask, reading and refusing our way.

APIFlask keeps the OpenAPI document beside the routes. Its own reading of
bodies and queries is replaced by ours, and answers that views have written
themselves pass it untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from apiflask import APIBlueprint
from apiflask.schema_adapters import registry
from apiflask.schema_adapters.pydantic import PydanticAdapter
from flask import Request
from pydantic import BaseModel, ValidationError

from orchestrator.api.body import read_object
from orchestrator.api.problems import validation_failed
from orchestrator.api.wire.members import Body
from orchestrator.errors import DibsError, ValidationFailed

View = TypeVar("View", bound=Callable[..., Any])

COMPONENT = "#/components/schemas/{model}"

_REFUSALS = "_refusals"


class StrictAdapter(PydanticAdapter):
    """Reads by `read_object`; refuses with problem documents."""

    def validate_input(self, request: Request, location: str, **_view_args: Any) -> BaseModel:
        """Read and validate a body (`json`) or what stands behind the question mark (`query`)."""
        if location == "json":
            required = any(field.is_required() for field in self.model_class.model_fields.values())
            value = read_object(request, limit_bytes=self._limit_bytes(), required=required)
        else:
            value = _query(request)
        try:
            return self.model_class.model_validate(value)
        except ValidationError as invalid:
            raise validation_failed(invalid, value) from None

    def _limit_bytes(self) -> int:
        if not issubclass(self.model_class, Body):
            raise TypeError(f"{self.model_class.__name__} is no body")
        return self.model_class.limit_bytes

    def get_openapi_schema(self, **_options: Any) -> dict[str, Any]:
        """The model's schema; models within it are components of their own."""
        schema = self.model_class.model_json_schema(ref_template=COMPONENT, by_alias=True)
        schema.pop("$defs", None)
        return schema


def _query(request: Request) -> dict[str, str]:
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise ValidationFailed(
            [{"path": f"/{name}"[:200], "message": "is there more than once"} for name in repeated]
        )
    return request.args.to_dict()


registry.register("pydantic", StrictAdapter)


def blueprint(name: str) -> APIBlueprint:
    """A blueprint whose inputs are read strictly."""
    return APIBlueprint(name, __name__)


def refuses(*kinds: type[DibsError]) -> Callable[[View], View]:
    """Declare which refusals of its own a route has, for the OpenAPI document."""

    def declare(view: View) -> View:
        setattr(view, _REFUSALS, kinds)
        return view

    return declare


def refusals_of(view: Callable[..., Any]) -> tuple[type[DibsError], ...]:
    """The refusals that a view was declared to have."""
    kinds: tuple[type[DibsError], ...] = getattr(view, _REFUSALS, ())
    return kinds
