"""What every blueprint is made of: APIFlask, reading and refusing our way.

APIFlask keeps the OpenAPI document beside the routes. Its own reading of
bodies and queries is replaced by ours, and answers that views have written
themselves pass it untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any, TypeVar

from apiflask import APIBlueprint
from apiflask.schema_adapters import registry
from apiflask.schema_adapters.pydantic import PydanticAdapter
from flask import Request
from pydantic import BaseModel, ValidationError

from orchestrator.api.body import read_object
from orchestrator.api.validation import validation_failed
from orchestrator.api.wire.members import Body, View
from orchestrator.errors import DibsError, ValidationFailed

Route = TypeVar("Route", bound=Callable[..., Any])
AnswersByStatus = dict[int | str, dict[str, str | dict[str, dict[str, Any]]]]

COMPONENT = "#/components/schemas/{model}"

_REFUSALS = "_refusals"
_HEADER = "_header"


class StrictAdapter(PydanticAdapter):
    """Reads by `read_object`; refuses with problem documents."""

    def validate_input(self, request: Request, location: str, **_view_args: Any) -> BaseModel:
        """Read and validate a body (`json`) or what stands behind the question mark (`query`)."""
        if location == "json":
            value = read_object(
                request.environ,
                limit_bytes=self._limit_bytes,
                required=is_needed(self.model_class),
            )
        else:
            value = _query(request)
        try:
            return self.model_class.model_validate(value)
        except ValidationError as invalid:
            raise validation_failed(invalid, value) from None

    @cached_property
    def _limit_bytes(self) -> int:
        if not issubclass(self.model_class, Body):
            raise TypeError(f"{self.model_class.__name__} is no body")
        return self.model_class.limit_bytes

    def get_openapi_schema(self, **_options: Any) -> dict[str, Any]:
        """The model's schema; models within it are components of their own."""
        schema = self.model_class.model_json_schema(ref_template=COMPONENT, by_alias=True)
        schema.pop("$defs", None)
        return schema


@cache
def is_needed(model: type[BaseModel]) -> bool:
    """Whether a body of this model must be sent; one without required members may be left out."""
    return any(field.is_required() for field in model.model_fields.values())


def _query(request: Request) -> dict[str, str]:
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise ValidationFailed(
            [{"path": f"/{name}"[:200], "message": "is there more than once"} for name in repeated]
        )
    return request.args.to_dict()


registry.register("pydantic", StrictAdapter)


def blueprint(name: str, *, tag: str | None = None) -> APIBlueprint:
    """A blueprint whose inputs are read strictly; `tag` is its heading in the document."""
    return APIBlueprint(name, __name__, tag=tag or name.capitalize())


def takes(header: str) -> Callable[[Route], Route]:
    """Declare a request header that a route heeds, for the OpenAPI document."""

    def declare(view: Route) -> Route:
        setattr(view, _HEADER, header)
        return view

    return declare


def header_of(view: Callable[..., Any]) -> str | None:
    """The request header that a view was declared to heed."""
    header: str | None = getattr(view, _HEADER, None)
    return header


def also(status: int, model: type[View], description: str) -> AnswersByStatus:
    """Another answer of a route beside its first, for `doc(responses=…)`."""
    schema = {"$ref": COMPONENT.format(model=model.__name__)}
    return {
        status: {"description": description, "content": {"application/json": {"schema": schema}}}
    }


def refuses(*kinds: type[DibsError]) -> Callable[[Route], Route]:
    """Declare which refusals of its own a route has, for the OpenAPI document."""

    def declare(view: Route) -> Route:
        setattr(view, _REFUSALS, kinds)
        return view

    return declare


def refusals_of(view: Callable[..., Any]) -> tuple[type[DibsError], ...]:
    """The refusals that a view was declared to have."""
    kinds: tuple[type[DibsError], ...] = getattr(view, _REFUSALS, ())
    return kinds
