"""Typed input: read before the handler is called, and refused in words that name the member."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, field_validator

from executor import App, StepContext
from executor.step_input import UnfitInputError, step_input_of


class Charge(BaseModel):
    model_config = ConfigDict(strict=True)

    amount: int
    day: date | None = None

    @field_validator("amount")
    @classmethod
    def _not_thirteen(cls, amount: int) -> int:
        if amount == 13:
            raise RuntimeError("unlucky")
        return amount


@dataclass
class Order:
    lines: list[Charge]


def of_model(context: StepContext, charge: Charge) -> None: ...


def of_dataclass(context: StepContext, order: Order) -> None: ...


def untyped(context: StepContext, given): ...  # type: ignore[no-untyped-def]


def plain(context: StepContext) -> None: ...


def with_default(context: StepContext, number: int = 3) -> None: ...


def too_many(context: StepContext, order: Order, more: Any) -> None: ...


def test_the_second_parameter_says_what_is_wanted() -> None:
    read = step_input_of(of_model, None)

    assert read.is_passed
    assert read.read({"amount": 7, "day": "2027-01-31"}) == Charge(amount=7, day=date(2027, 1, 31))


def test_a_dataclass_is_read_with_what_is_in_it() -> None:
    assert step_input_of(of_dataclass, None).read({"lines": [{"amount": 1}]}) == Order(
        [Charge(amount=1)]
    )


def test_what_is_declared_counts_and_needs_no_second_parameter() -> None:
    read = step_input_of(plain, Charge)

    assert not read.is_passed
    assert read.read({"amount": 7}) == Charge(amount=7)


@pytest.mark.parametrize(("function", "passed"), [(untyped, True), (with_default, False)])
def test_a_handler_that_wants_no_type_takes_any_input(function: Any, passed: bool) -> None:
    read = step_input_of(function, None)

    assert read.is_passed is passed
    assert read.read({"any": "thing"}) == {"any": "thing"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lines": [{"amount": 1}, {"amount": "many"}]}, "lines.1.amount: Input should be a valid"),
        ({}, "lines: Field required"),
        ({"lines": [{}] * 12}, "and 2 more"),
        (None, "all of it: "),
        ({"lines": [{"amount": 13}]}, "RuntimeError: unlucky"),
    ],
)
def test_what_does_not_fit_is_said_member_by_member(given: Any, said: str) -> None:
    with pytest.raises(UnfitInputError) as refused:
        step_input_of(of_dataclass, None).read(given)

    assert said in str(refused.value)


def test_a_number_of_any_size_is_read_as_it_is() -> None:
    assert step_input_of(plain, int).read(2**200) == 2**200


def test_a_handler_that_wants_more_than_it_is_given_is_refused_when_it_is_registered() -> None:
    with pytest.raises(ValueError, match="no more"):
        App().step("pay")(too_many)


def test_a_type_that_nothing_can_be_read_as_is_refused_when_it_is_registered() -> None:
    with pytest.raises(ValueError, match="No input can be read"):
        App().step("pay", input=object())(plain)


def test_a_type_that_is_not_known_here_is_refused_when_it_is_registered() -> None:
    def pay(context: StepContext, given: "Unheard") -> None:  # type: ignore[name-defined]  # noqa: F821
        ...

    with pytest.raises(ValueError, match="name it by input="):
        App().step("pay")(pay)
