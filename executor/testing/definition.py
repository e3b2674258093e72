"""A workflow's definition, as far as playing it needs: the same JSON that is put."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class Retry(_Part):
    """How often a step may fail; the pauses between are not waited for here."""

    max_failures: int | None = Field(default=None, ge=1)
    backoff_seconds: float = 2
    backoff_factor: float = 2
    max_backoff_seconds: float = 300


class StepDefinition(_Part):
    """One step."""

    name: str
    type: str
    params: dict[str, Any] = Field(default_factory=dict)
    uses: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    timeout_seconds: float | None = None
    retry: Retry = Retry()
    mutating: bool = False
    queue: str | None = None
    waits: bool = False


class Definition(_Part):
    """The steps of a workflow; a run begins with the first."""

    name: str = "workflow"
    steps: tuple[StepDefinition, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_steps(self) -> Self:
        names = [step.name for step in self.steps]
        for step in self.steps:
            if names.count(step.name) > 1:
                raise ValueError(f"step {step.name} is there more than once")
            for other in (*step.next, *step.uses):
                if other not in names:
                    raise ValueError(f"step {step.name}: there is no step {other}")
        return self

    def step(self, name: str) -> StepDefinition:
        """The step of this name."""
        return next(step for step in self.steps if step.name == name)


def read_definition(source: Mapping[str, Any] | Path) -> Definition:
    """
    A definition, from its JSON or from the file that holds it.

    Raises:
        ValueError: It is none; the message says what is wrong.
    """
    if isinstance(source, Path):
        return Definition.model_validate_json(source.read_bytes())
    return Definition.model_validate(source)
