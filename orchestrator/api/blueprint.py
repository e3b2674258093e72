"""What every blueprint is made of: APIFlask, reading and refusing our way.

APIFlask keeps the OpenAPI document beside the routes. Its own reading of
bodies and queries is replaced by ours, and it is not asked about answers: views
write them themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property, wraps
from typing import Any, TypeVar

from apiflask import APIBlueprint
from apiflask.schema_adapters import registry
from apiflask.schema_adapters.pydantic import PydanticAdapter
from flask import request
from pydantic import BaseModel, ValidationError

from orchestrator.api.body import read_object
from orchestrator.api.call import call
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

    def read(self, location: str) -> BaseModel:
        """Read and validate a body (`json`) or what stands behind the question mark (`query`)."""
        if location == "json":
            value = read_object(
                call().environ,
                limit_bytes=self._limit_bytes,
                required=is_needed(self.model_class),
            )
        else:
            value = _query()
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


def _query() -> dict[str, str]:
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise ValidationFailed(
            [{"path": f"/{name}"[:200], "message": "is there more than once"} for name in repeated]
        )
    return request.args.to_dict()


registry.register("pydantic", StrictAdapter)


class _Blueprint(APIBlueprint):
    """What APIFlask is told of a route goes into the document; the view is called by itself."""

    def input(  # type: ignore[override]
        self,
        schema: type[BaseModel],
        location: str = "json",
        arg_name: str | None = None,
        **told: Any,
    ) -> Callable[[Route], Route]:
        declare = super().input(schema, location=location, arg_name=arg_name, **told)
        adapter = StrictAdapter(schema)
        name = arg_name or f"{location}_data"

        def reading(view: Route) -> Route:
            @wraps(view)
            def read(**variables: Any) -> Any:
                return view(**variables, **{name: adapter.read(location)})

            return _documented(read, declare(view))  # type: ignore[return-value]

        return reading

    def output(self, schema: Any, *args: Any, **told: Any) -> Callable[[Route], Route]:
        declare = super().output(schema, *args, **told)
        return lambda view: _documented(view, declare(view))

    def doc(self, *args: Any, **told: Any) -> Callable[[Route], Route]:
        declare = super().doc(*args, **told)
        return lambda view: _documented(view, declare(view))


def _documented(view: Route, declared: Callable[..., Any]) -> Route:
    """The view, with what APIFlask has noted of it."""
    view._spec = declared._spec  # type: ignore[attr-defined]  # noqa: SLF001
    return view


def blueprint(name: str, *, tag: str | None = None) -> APIBlueprint:
    """A blueprint whose inputs are read strictly; `tag` is its heading in the document."""
    return _Blueprint(name, __name__, tag=tag or name.capitalize())


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
