"""What an operator does to a run on its page, and what he is told when it cannot be."""

import json
from typing import Any

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json, outcome_of
from tests.acceptance.stage import Stage
from tests.contract.browser import Browser, Form, all_forms_of, forms_of

APPROVAL = {
    "type": "object",
    "title": "Approve the refund",
    "required": ["approved", "amount"],
    "properties": {
        "approved": {"type": "boolean"},
        "amount": {"type": "number", "maximum": 500, "default": 129.5},
        "note": {"type": "string", "maxLength": 20},
    },
}
SESSION = "01890000-0000-7000-8000-0000000000ab"


@pytest.fixture
def operator(browser: Browser, stage: Stage) -> Browser:
    browser.sign_in(stage.tokens[Role.OPERATOR])
    return browser


@pytest.fixture
def run_id(web: Client, queue: str) -> str:
    return web.create(queue)


def ask_for_input(holder: Client, queue: str, schema: Any) -> None:
    """Claim the run of this queue, and make it wait."""
    [dispatch] = holder.claim(queue)
    outcome = {"status": "awaiting-input", "waitingFor": {"schema": schema}}
    [result] = holder.report(outcome_of(dispatch, outcome))
    assert result["status"] == "waiting"


def fail(holder: Client, queue: str) -> None:
    [dispatch] = holder.claim(queue)
    outcome = {"status": "error", "message": "no", "retryable": False}
    holder.report(outcome_of(dispatch, outcome))


@pytest.fixture
def unknown(web: Client, ops: Client, holder: Client, queue: str) -> str:
    """A run of which nobody knows whether its step was done, and which may go on in two ways."""
    steps = [
        {"name": "charge", "type": "charge", "mutating": True, "next": ["thank", "remind"]},
        {"name": "thank", "type": "thank"},
        {"name": "remind", "type": "remind"},
    ]
    ops.ask("PUT", f"/v1/workflows/charge-{queue}", {"steps": steps})
    run_id = web.create(queue, f"charge-{queue}")
    [dispatch] = holder.claim(queue)
    begun = {"leaseId": dispatch["lease"]["id"], "session": SESSION}
    holder.ask("POST", f"/v1/runs/{run_id}/steps/0/start", begun)
    holder.report(outcome_of(dispatch, {"status": "unknown", "message": "it hung up"}))
    assert web.run(run_id)["waitingFor"]["reason"] == "outcome-unknown"
    return run_id


def form_of(operator: Browser, run_id: str, name: str, as_: str | None = None) -> Form:
    """A form as it stands on the page of a run."""
    page = operator.open(f"/ui/runs/{run_id}")
    [found] = [
        form
        for form in all_forms_of(page)
        if form.action.endswith(f"/{run_id}/{name}") and form.fields.get("as") == as_
    ]
    return found


def test_a_failed_run_is_retried(
    operator: Browser, ops: Client, holder: Client, run_id: str, queue: str
) -> None:
    fail(holder, queue)
    form = form_of(operator, run_id, "retry")
    answers = [operator.send(form) for _ in range(2)]

    assert [(one.status_code, one.headers["Location"]) for one in answers] == [
        (303, f"/ui/runs/{run_id}")
    ] * 2
    assert ops.run(run_id)["runState"] == "pending"
    assert ops.kinds(run_id).count("retried") == 1
    assert ops.events(run_id)[-1]["actor"] == Role.OPERATOR


def test_a_retry_that_a_live_run_is_in_the_way_of_says_so_on_the_page(
    operator: Browser, web: Client, ops: Client, holder: Client, queue: str
) -> None:
    run_id = web.create(queue, dedupKey="one")
    fail(holder, queue)
    form = form_of(operator, run_id, "retry")
    other = web.create(queue, dedupKey="one")
    answer = operator.send(form)

    assert answer.status_code == 409
    assert "Nothing was changed." in answer.text
    assert f"run {other} is pending with its dedupKey" in answer.text
    assert "retry" in forms_of(answer)
    assert ops.run(run_id)["runState"] == "failed"


def test_what_has_changed_meanwhile_is_said_beside_the_run_as_it_is(
    operator: Browser, ops: Client, run_id: str
) -> None:
    form = form_of(operator, run_id, "abort")
    ops.ask("POST", f"/v1/runs/{run_id}/abort", {"reason": "somebody else was quicker"})
    answer = operator.send(form, reason="me too")

    assert (answer.status_code, "run-over" in answer.text) == (410, True)
    assert f"Run {run_id} is over: aborted." in answer.text
    assert "somebody else was quicker" in answer.text
    # What is shown of the moment is asked for at the run's page, not where the form went.
    assert f'data-hx-get="/ui/runs/{run_id}"' in answer.text


def test_a_waiting_run_is_given_what_the_fields_say(
    operator: Browser, ops: Client, holder: Client, run_id: str, queue: str
) -> None:
    ask_for_input(holder, queue, APPROVAL)
    form = form_of(operator, run_id, "resume")
    asked = {"choice/approved": "true", "number/amount": "99.5", "string/note": "it's <b>ok</b>"}
    answers = [operator.send(form, **asked) for _ in range(2)]
    other = operator.send(form, **asked | {"number/amount": "1"})
    [dispatch] = holder.claim(queue)

    assert form.fields["number/amount"] == "129.5"
    assert [answer.status_code for answer in answers] == [303, 303]
    assert (other.status_code, "idempotency-key-reused" in other.text) == (422, True)
    assert ops.kinds(run_id).count("resumed") == 1
    assert dispatch["step"]["resumed"] is True
    assert dispatch["step"]["input"] == {"approved": True, "amount": 99.5, "note": "it's <b>ok</b>"}


def test_a_field_that_is_wrong_is_named_and_what_was_typed_stays(
    operator: Browser, ops: Client, holder: Client, run_id: str, queue: str
) -> None:
    ask_for_input(holder, queue, APPROVAL)
    form = form_of(operator, run_id, "resume")
    no_number = operator.send(form, **{"number/amount": "lots", "string/note": "<i>mine</i>"})
    too_much = operator.send(
        form,
        **{"choice/approved": "false", "number/amount": "501", "string/note": "x" * 21},
    )

    assert (no_number.status_code, too_much.status_code) == (422, 422)
    assert "must be a number, like 7 or 7.25" in no_number.text
    kept = forms_of(no_number)["resume"].fields
    assert (kept["number/amount"], kept["string/note"]) == ("lots", "<i>mine</i>")
    assert "501 is greater than the maximum of 500" in too_much.text
    assert too_much.text.count('class="fault"') == 2
    assert forms_of(too_much)["resume"].fields["choice/approved"] == "false"
    assert ops.run(run_id)["runState"] == "waiting"
    # Corrected, it is the same form.
    again = forms_of(too_much)["resume"]
    assert operator.send(again, **{"number/amount": "5", "string/note": ""}).status_code == 303


def test_what_was_chosen_and_typed_stands_there_again_as_it_was(
    operator: Browser, ops: Client, holder: Client, run_id: str, queue: str
) -> None:
    family = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}"
    members = {
        "how": {"enum": ["by post", 'by "hand" & foot']},
        "who": {"type": "string", "default": "a\N{RIGHT-TO-LEFT OVERRIDE}b"},
        "amount": {"type": "number"},
    }
    ask_for_input(holder, queue, {"type": "object", "properties": members})
    form = form_of(operator, run_id, "resume")
    said = {"choice/how": '"by \\"hand\\" & foot"', "string/who": family}
    refused = operator.send(form, **said | {"number/amount": "lots"})
    again = forms_of(refused)["resume"]
    operator.send(again, **{"number/amount": "1"})
    [dispatch] = holder.claim(queue)

    assert form.fields["string/who"] == ""
    assert {name: again.fields[name] for name in said} == said
    assert dispatch["step"]["input"] == {
        "how": 'by "hand" & foot',
        "who": family,
        "amount": 1,
    }


def test_a_field_that_is_needed_and_was_left_empty_is_named(
    operator: Browser, ops: Client, holder: Client, run_id: str, queue: str
) -> None:
    ask_for_input(holder, queue, APPROVAL)
    answer = operator.send(form_of(operator, run_id, "resume"))

    assert answer.status_code == 422
    assert '"approved" is a required property' in answer.text.replace("&#34;", '"')
    assert ops.run(run_id)["runState"] == "waiting"


@pytest.mark.parametrize("schema", [None, {"type": "array"}, True])
def test_what_has_no_fields_is_given_json(
    operator: Browser, ops: Client, holder: Client, run_id: str, queue: str, schema: Any
) -> None:
    ask_for_input(holder, queue, schema)
    form = form_of(operator, run_id, "resume")
    bad = operator.send(form, input="[1, 2")
    good = operator.send(form, input='[1, 12345678901234567890123]\r\n')  # fmt: skip
    [dispatch] = holder.claim(queue)

    assert bad.status_code == 422
    assert "is not JSON" in bad.text
    assert forms_of(bad)["resume"].fields["input"] == "[1, 2"
    assert good.status_code == 303
    assert dispatch["step"]["input"] == [1, 12345678901234567890123]


def test_an_answer_to_another_question_is_refused(
    operator: Browser, ops: Client, holder: Client, run_id: str, queue: str
) -> None:
    ask_for_input(holder, queue, APPROVAL)
    form = form_of(operator, run_id, "resume")
    answer = {"choice/approved": "true", "number/amount": "1"}
    ops.ask("POST", f"/v1/runs/{run_id}/resume", {"input": {"approved": False, "amount": 0}})
    ask_for_input(holder, queue, APPROVAL)
    late = operator.send(form, **answer)

    assert (late.status_code, "state-conflict" in late.text) == (409, True)
    assert "it does not wait for this input" in late.text
    assert ops.run(run_id)["runState"] == "waiting"
    # The page that comes back asks the question that is asked now.
    assert operator.send(forms_of(late)["resume"], **answer).status_code == 303


@pytest.mark.parametrize("version", ["", "x", "-1", "1.0", "9" * 40])
def test_a_resume_says_what_it_answers(
    operator: Browser, ops: Client, holder: Client, run_id: str, queue: str, version: str
) -> None:
    ask_for_input(holder, queue, None)
    answer = operator.send(form_of(operator, run_id, "resume"), input="1", version=version)

    assert (answer.status_code, "malformed-request" in answer.text) == (400, True)
    assert ops.run(run_id)["runState"] == "waiting"


def test_an_unknown_outcome_is_told_with_what_to_look_it_up_by(
    operator: Browser, ops: Client, unknown: str
) -> None:
    page = operator.open(f"/ui/runs/{unknown}")

    assert f"{unknown}:0" in page.text
    assert str(ops.run(unknown)["fence"]) in page.text
    assert "Nobody knows whether step" in page.text
    assert "it hung up" in page.text
    assert {form.fields.get("as") for form in all_forms_of(page)} == {
        None,
        "done",
        "run-again",
        "abort",
    }
    assert "abort" not in forms_of(page)


def test_it_was_done(operator: Browser, ops: Client, holder: Client, unknown: str) -> None:
    form = form_of(operator, unknown, "resolve", "done")
    undecided = operator.send(form, output='{"receipt": 7}')
    answers = [operator.send(form, output='{"receipt": 7}', next="thank") for _ in range(2)]
    [charge] = ops.ask("GET", f"/v1/runs/{unknown}/steps")["items"]

    assert (undecided.status_code, "name one of the next steps" in undecided.text) == (409, True)
    [kept] = [one for one in all_forms_of(undecided) if one.fields.get("as") == "done"]
    assert json.loads(kept.fields["output"]) == {"receipt": 7}
    assert [answer.status_code for answer in answers] == [303, 303]
    assert (charge["state"], charge["output"]) == ("finished", {"receipt": 7})
    assert (ops.run(unknown)["runState"], ops.run(unknown)["stepName"]) == ("pending", "thank")


def test_an_output_that_is_no_json_is_refused_at_its_field(
    operator: Browser, ops: Client, unknown: str
) -> None:
    form = form_of(operator, unknown, "resolve", "done")
    answer = operator.send(form, output="{receipt: 7}", next="remind")
    [kept] = [one for one in all_forms_of(answer) if one.fields.get("as") == "done"]

    assert answer.status_code == 422
    assert 'id="fault-output"' in answer.text
    assert (kept.fields["output"], kept.fields["next"]) == ("{receipt: 7}", "remind")
    assert ops.run(unknown)["runState"] == "waiting"


@pytest.mark.parametrize(
    ("as_", "state", "step_index"), [("run-again", "pending", 1), ("abort", "aborted", 0)]
)
def test_it_was_not_done_or_is_given_up(
    operator: Browser, ops: Client, unknown: str, as_: str, state: str, step_index: int
) -> None:
    answer = operator.send(form_of(operator, unknown, "resolve", as_))
    run = ops.run(unknown)

    assert answer.status_code == 303
    assert (run["runState"], run["stepIndex"]) == (state, step_index)


def test_only_one_of_them_counts(operator: Browser, ops: Client, unknown: str) -> None:
    again, abort = (form_of(operator, unknown, "resolve", as_) for as_ in ("run-again", "abort"))
    operator.send(again)
    late = operator.send(abort)

    assert (late.status_code, "its outcome is not unknown" in late.text) == (409, True)
    assert ops.run(unknown)["runState"] == "pending"


@pytest.mark.parametrize("as_", ["done", "run-again", "abort"])
def test_what_is_said_of_one_step_is_not_taken_for_another(
    operator: Browser, ops: Client, holder: Client, unknown: str, queue: str, as_: str
) -> None:
    form = form_of(operator, unknown, "resolve", as_)
    ops.ask("POST", f"/v1/runs/{unknown}/resolve", {"as": "run-again"})
    [dispatch] = holder.claim(queue)
    begun = {"leaseId": dispatch["lease"]["id"], "session": SESSION}
    holder.ask("POST", f"/v1/runs/{unknown}/steps/1/start", begun)
    holder.report(outcome_of(dispatch, {"status": "unknown", "message": "once more"}))
    late = operator.send(form, next="thank") if as_ == "done" else operator.send(form)
    run = ops.run(unknown)

    assert (late.status_code, "of what it waited for before" in late.text) == (409, True)
    assert (run["runState"], run["stepIndex"]) == ("waiting", 1)
    # The page that comes back asks about the step that is unknown now.
    [now] = [one for one in all_forms_of(late) if one.fields.get("as") == "abort"]
    assert operator.send(now).status_code == 303


@pytest.mark.parametrize("as_", ["", "finished", "DONE"])
def test_nothing_else_can_be_said_of_an_outcome(
    operator: Browser, ops: Client, unknown: str, as_: str
) -> None:
    form = form_of(operator, unknown, "resolve", "abort")
    answer = operator.post(form.action, form.fields | {"as": as_})

    assert (answer.status_code, "validation" in answer.text) == (422, True)
    assert ops.run(unknown)["runState"] == "waiting"


@pytest.mark.parametrize("act", ["retry", "resume", "resolve"])
def test_a_viewer_sees_no_act_and_does_none(
    browser: Browser, stage: Stage, ops: Client, holder: Client, run_id: str, queue: str, act: str
) -> None:
    ask_for_input(holder, queue, APPROVAL)
    browser.sign_in(stage.tokens[Role.VIEWER])
    page = browser.open(f"/ui/runs/{run_id}")
    fields = forms_of(page)["sign-out"].fields | {
        "key": SESSION,
        "version": "1",
        "as": "abort",
        "input": "{}",
    }
    answer = browser.post(f"/ui/runs/{run_id}/{act}", fields)

    assert list(forms_of(page)) == ["sign-out"]
    assert (answer.status_code, "insufficient-scope" in answer.text) == (403, True)
    assert ops.run(run_id)["runState"] == "waiting"


STATES: Json = {
    "pending": {"abort"},
    "loading": {"abort"},
    "waiting": {"abort", "resume"},
    "failed": {"retry"},
    "aborted": {"retry"},
    "finished": set(),
}


@pytest.mark.parametrize("state", STATES)
def test_a_page_offers_what_its_state_allows(
    operator: Browser, ops: Client, holder: Client, run_id: str, queue: str, state: str
) -> None:
    if state == "waiting":
        ask_for_input(holder, queue, None)
    elif state == "failed":
        fail(holder, queue)
    elif state == "aborted":
        ops.ask("POST", f"/v1/runs/{run_id}/abort", {})
    elif state != "pending":
        [dispatch] = holder.claim(queue)
        if state == "finished":
            holder.report(outcome_of(dispatch, {"status": "success", "output": None}))
    assert ops.run(run_id)["runState"] == state

    assert set(forms_of(operator.open(f"/ui/runs/{run_id}"))) - {"sign-out"} == STATES[state]
