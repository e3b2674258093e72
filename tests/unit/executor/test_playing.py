"""`executor.testing`: a definition played against handlers as a run would go."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import BaseModel

from executor import (
    App,
    AwaitInput,
    Later,
    OutcomeUnknown,
    StepContext,
    StepError,
    Success,
)
from executor.testing import TIMED_OUT, play
from executor.testing.definition import Definition, Retry, StepDefinition
from orchestrator.api.wire import workflows as wire

app = App()


class Approval(BaseModel):
    approved: bool


@app.step("echo")
def echo(context: StepContext) -> dict[str, Any]:
    return {"input": context.input, "outputs": dict(context.outputs)}


@app.step("echo-async")
async def echo_async(context: StepContext) -> Any:
    context.progress({"half": True})
    return context.input


@app.step("choose")
def choose(context: StepContext) -> Success:
    return Success(("a", "tuple"), next=context.input["next"])


@app.step("ask")
def ask(context: StepContext) -> Any:
    if not context.resumed:
        raise AwaitInput(Approval, timeout_seconds=60, on_timeout=context.input.get("onTimeout"))
    return [context.input, context.run.input, context.fence]


@app.step("flaky")
def flaky(context: StepContext) -> str:
    if context.run.failures < context.input["times"]:
        raise StepError("no luck", retryable=context.input.get("retryable"))
    return context.idempotency_key


@app.step("later")
def later(context: StepContext) -> int:
    if context.run.attempt == 1:
        raise Later(datetime.now(UTC))
    return context.run.attempt


@app.step("unsure", mutating=True)
def unsure(context: StepContext) -> None:
    raise OutcomeUnknown("the line went dead")


def steps(*shown: dict[str, Any]) -> dict[str, Any]:
    return {"steps": list(shown)}


def step(name: str, step_type: str = "echo", *following: str, **members: Any) -> dict[str, Any]:
    return {"name": name, "type": step_type, "next": list(following), **members}


def test_steps_follow_each_other_and_get_the_previous_output() -> None:
    played = play(app, steps(step("a", "echo-async", "b"), step("b")), {"n": 1})

    assert played.state == "finished"
    assert played.names == ("a", "b")
    assert played.output == {"input": {"n": 1}, "outputs": {"a": {"n": 1}}}
    assert [one.index for one in played.steps] == [0, 1]
    assert played.step("a").progress == ({"half": True},)


def test_a_step_gets_what_it_uses_of_the_steps_that_ran() -> None:
    definition = steps(
        step("a", "choose", "b", "c"),
        step("b", "echo", "d"),
        step("c", "echo", "d"),
        step("d", uses=["a", "c"]),
    )

    played = play(app, definition, {"next": "b"})

    assert played.names == ("a", "b", "d")
    assert played.step("d").outputs == {"a": ["a", "tuple"]}


@pytest.mark.parametrize("chosen", ["z", None])
def test_a_choice_that_is_none_fails_the_run(chosen: str | None) -> None:
    definition = steps(step("a", "choose", "b", "c"), step("b"), step("c"))

    played = play(app, definition, {"next": chosen})

    assert played.state == "failed"
    assert played.error is not None
    assert played.error["code"] == "step-failed"
    assert 'Step a offers the next steps ["b","c"], and ' in played.error["message"]


def test_a_wait_without_an_answer_ends_the_play_as_waiting() -> None:
    played = play(app, steps(step("a", "ask")))

    assert played.state == "waiting"
    assert played.waiting_for == {
        "reason": "input",
        "schema": Approval.model_json_schema(),
        "timeoutSeconds": 60,
    }


def test_an_answer_resumes_the_step_under_a_new_lease() -> None:
    played = play(app, steps(step("a", "ask")), {"n": 1}, answers={"a": [{"approved": True}]})

    assert [one.outcome for one in played.steps] == ["awaiting-input", "success"]
    assert played.output == [{"approved": True}, {"n": 1}, 2]


@pytest.mark.parametrize(
    ("on_timeout", "names", "code"), [("b", ("a", "b"), None), ("fail", ("a",), "input-timed-out")]
)
def test_a_wait_may_end_because_nobody_answered(
    on_timeout: str, names: tuple[str, ...], code: str | None
) -> None:
    definition = steps(step("a", "ask", "b"), step("b"))

    played = play(app, definition, {"onTimeout": on_timeout}, answers={"a": [TIMED_OUT]})

    assert played.names == names
    assert (played.error or {}).get("code") == code


@pytest.mark.parametrize(
    ("given", "retry", "executions", "code"),
    [
        ({"times": 2}, {}, 3, None),
        ({"times": 3}, {}, 3, "failed-too-often"),
        ({"times": 4}, {"maxFailures": 5}, 5, None),
        ({"times": 1}, {"maxFailures": 1}, 1, "failed-too-often"),
        ({"times": 9, "retryable": False}, {}, 1, "step-failed"),
    ],
)
def test_a_step_is_retried_until_its_budget_is_reached(
    given: Any, retry: Any, executions: int, code: str | None
) -> None:
    played = play(app, steps(step("a", "flaky", retry=retry)), given)

    assert len(played.steps) == executions
    assert (played.error or {}).get("code") == code


def test_a_mutating_step_is_not_run_again_by_itself() -> None:
    failed = play(app, steps(step("a", "flaky", mutating=True)), {"times": 1})
    unknown = play(app, steps(step("a", "unsure")))

    assert failed.state == "failed"
    assert failed.names == ("a",)
    assert unknown.state == "waiting"
    assert unknown.waiting_for == {"reason": "outcome-unknown", "message": "the line went dead"}


def test_later_is_now_here() -> None:
    assert play(app, steps(step("a", "later"))).output == 2


def test_a_type_without_a_handler_is_named() -> None:
    played = play(app, steps(step("a", "unheard-of")))

    assert played.error is not None
    assert played.error["code"] == "no-handler"
    assert "unheard-of" in played.error["message"]
    with pytest.raises(LookupError, match="step a was not executed"):
        played.step("a")


def test_a_run_that_goes_round_for_ever_is_stopped() -> None:
    with pytest.raises(RuntimeError, match="1000"):
        play(app, steps(step("a", "echo-async", "a")))


def test_a_definition_comes_from_its_file_too(tmp_path: Path) -> None:
    file = tmp_path / "sample.json"
    file.write_bytes(orjson.dumps({"name": "sample", **steps(step("a"))}))

    assert play(app, file).state == "finished"


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        (steps(), "at least 1 item"),
        (steps(step("a", "echo", "b")), "step a: there is no step b"),
        (steps(step("a", uses=["b"])), "step a: there is no step b"),
        (steps(step("a"), step("a")), "step a is there more than once"),
        (steps(step("a", timeout=3)), "Extra inputs are not permitted"),
    ],
)
def test_a_definition_that_is_none_is_refused(definition: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        play(app, definition)


@pytest.mark.parametrize(
    ("ours", "theirs", "more"),
    [
        (Definition, wire.Definition, {"name"}),
        (StepDefinition, wire.StepDefinition, set()),
        (Retry, wire.Retry, set()),
    ],
)
def test_a_definition_has_the_members_that_the_orchestrator_knows(
    ours: type[BaseModel], theirs: type[BaseModel], more: set[str]
) -> None:
    assert set(ours.model_fields) - more == set(theirs.model_fields)
    for name, known in theirs.model_fields.items():
        if not known.is_required() and name not in ("retry", "uses", "next"):
            assert ours.model_fields[name].get_default(
                call_default_factory=True
            ) == known.get_default(call_default_factory=True)
