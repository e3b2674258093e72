"""Handlers: registration, and what they are given."""

import pytest

from executor import App, StepCancelled, StepContext
from executor.output import UnfitOutputError


@pytest.fixture
def context(dispatch):
    made = dispatch()
    return StepContext(
        run=made.run,
        step=made.step,
        input={"orderId": 7},
        outputs={},
        fence=1,
        idempotency_key="r:0",
    )


def test_a_decorated_function_is_found_by_its_step_type_and_stays_callable():
    app = App()

    @app.step("charge-card", mutating=True, timeout=30)
    def charge_card(context):
        return "charged"

    handler = app.find("charge-card")
    assert handler is not None
    assert handler.function is charge_card
    assert handler.mutating
    assert handler.timeout_seconds == 30
    assert charge_card(None) == "charged"
    assert app.step_types == ("charge-card",)


def test_a_step_type_nobody_registered_has_no_handler():
    assert App().find("unheard-of") is None


def test_a_second_handler_for_a_step_type_is_refused():
    app = App()
    app.step("pay")(lambda _: None)

    with pytest.raises(ValueError, match="has a handler already"):
        app.step("pay")(lambda _: None)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_time_out_that_is_none_is_refused(timeout):
    with pytest.raises(ValueError, match="time-out"):
        App().step("pay", timeout=timeout)


def test_an_app_takes_over_the_handlers_of_another():
    other, app = App(), App()
    other.step("pay")(lambda _: None)

    app.include(other)

    assert app.find("pay") is other.find("pay")


def test_a_context_stops_the_handler_only_after_it_was_told_to(context):
    context.stop_if_aborted()
    context.aborted.set()

    with pytest.raises(StepCancelled):
        context.stop_if_aborted()


def test_progress_must_be_small_json(context):
    context.progress({"done": 1})

    with pytest.raises(UnfitOutputError):
        context.progress("x" * 5000)
    with pytest.raises(UnfitOutputError):
        context.progress(object())


def test_a_handler_is_called_with_the_input_only_if_it_wants_it(context):
    app = App()
    app.step("one")(lambda context: context.input)
    app.step("two")(lambda _, given: given["orderId"])

    assert app.find("one").call(context) == {"orderId": 7}
    assert app.find("two").call(context) == 7


def test_a_context_says_whether_the_step_was_resumed(context):
    assert not context.resumed
