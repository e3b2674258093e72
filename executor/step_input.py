"""Typed input: what a handler wants, read and checked before it begins."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pydantic_core
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

MOST_COMPLAINTS = 10


class UnfitInputError(Exception):
    """The input is not what the handler wants; the message names each member."""


@dataclass(frozen=True)
class StepInput:
    """
    How a handler takes its input.

    Attributes:
        adapter: Reads the type that it wants; None takes the input as it is.
        is_passed: Whether the function has a second parameter for it.
    """

    adapter: TypeAdapter[Any] | None
    is_passed: bool

    def read(self, given: Any) -> Any:
        """
        The input as the type that is wanted.

        Raises:
            UnfitInputError: It does not fit.
        """
        if self.adapter is None:
            return given
        try:
            # As JSON, which it came as: a strict model then still takes a date's text.
            return self.adapter.validate_json(pydantic_core.to_json(given))
        except ValidationError as wrong:
            raise UnfitInputError(f"the input does not fit: {_complaints(wrong)}") from None
        except Exception as error:
            # The author's own validators may raise what they like.
            raise UnfitInputError(
                f"the input cannot be read: {type(error).__name__}: {error}"
            ) from error


def step_input_of(function: Callable[..., Any], declared: Any) -> StepInput:
    """
    How a function takes its input: as `declared`, or as its second parameter says.

    Raises:
        ValueError: It takes more than the context and the input, or no input of
            that type can be read.
    """
    parameters = _required_parameters(function)
    if len(parameters) > 2:
        raise ValueError("A handler takes the context, and its input if it wants to: no more.")
    is_passed = len(parameters) == 2
    if declared is None and is_passed:
        declared = _annotation(function, parameters[1].name)
    if declared in (None, Any):
        return StepInput(None, is_passed)
    try:
        return StepInput(TypeAdapter(declared), is_passed)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation) as error:
        raise ValueError(f"No input can be read as {declared!r}: {error}") from None


def _required_parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return []  # One that is written in C has no signature; it is given the context.
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one for one in parameters if one.kind in positional and one.default is one.empty]


def _annotation(function: Callable[..., Any], name: str) -> Any:
    try:
        annotation = inspect.signature(function, eval_str=True).parameters[name].annotation
    except NameError as error:
        raise ValueError(
            f"The type of the parameter {name!r} is not known here ({error}): name it by input=…"
        ) from None
    return None if annotation is inspect.Parameter.empty else annotation


def _complaints(wrong: ValidationError) -> str:
    errors = wrong.errors(include_url=False, include_context=False, include_input=False)
    named = [
        f"{'.'.join(map(str, error['loc'])) or 'all of it'}: {error['msg']}"
        for error in errors[:MOST_COMPLAINTS]
    ]
    if len(errors) > MOST_COMPLAINTS:
        named.append(f"and {len(errors) - MOST_COMPLAINTS} more")
    return "; ".join(named)
