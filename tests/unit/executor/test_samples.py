"""The samples, from end to end without an orchestrator: each way that a run may take."""

from pathlib import Path
from typing import Any

import pytest

import executor.samples
from executor.samples import app
from executor.testing import TIMED_OUT, Played, play
from executor.testing.definition import read_definition

FOLDER = Path(executor.samples.__file__).parent
LARGE = {"orderId": 7, "amount": 90_000}


def sample(file: str, given: Any = None, **answers: Any) -> Played:
    return play(app, FOLDER / file, given, answers=answers)


def test_every_step_of_a_sample_has_its_handler() -> None:
    used = {step.type for file in FOLDER.glob("*.json") for step in read_definition(file).steps}

    assert used == set(app.step_types)


def test_a_small_refund_is_paid_without_an_approval() -> None:
    played = sample("refund.json", {"orderId": 7, "amount": 1250})

    assert played.state == "finished"
    assert played.names == ("check", "pay", "mail")
    assert played.step("pay").output["paid"] == 1250
    assert played.output["subject"] == "Your order 7"
    assert played.output["text"].startswith("We have paid back 12.50")


def test_a_large_refund_waits_until_somebody_approves_it() -> None:
    waiting = sample("refund.json", LARGE)
    approved = sample("refund.json", LARGE, approve=[{"approved": True}])

    assert waiting.state == "waiting"
    assert waiting.waiting_for is not None
    assert waiting.waiting_for["schema"]["required"] == ["approved"]
    assert approved.names == ("check", "approve", "approve", "pay", "mail")
    assert approved.output["text"].startswith("We have paid back 900.00")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"approved": False, "reason": "It was worn."}, "We cannot pay that back. It was worn."),
        (TIMED_OUT, "We are still looking into it."),
    ],
)
def test_a_refund_that_nobody_approves_is_not_paid(answer: Any, text: str) -> None:
    played = sample("refund.json", LARGE, approve=[answer])

    assert "pay" not in played.names
    assert played.output["text"] == text


@pytest.mark.parametrize(
    ("given", "member"),
    [
        ({"orderId": 7}, "amount"),
        ({"orderId": "x", "amount": 1}, "orderId"),
        ({"orderId": 7, "amount": -1}, "amount"),
    ],
)
def test_a_refund_of_nonsense_fails_at_once_and_names_the_member(given: Any, member: str) -> None:
    played = sample("refund.json", given)

    assert played.error is not None
    assert played.error["code"] == "step-failed"
    assert f"{member}: " in played.error["message"]
    assert played.names == ("check",)


def test_a_report_comes_back_for_figures_that_are_late() -> None:
    played = sample("nightly_report.json", {"day": "2027-01-31"})

    assert [step.outcome for step in played.steps] == ["later", "success", "success", "success"]
    assert played.output == {
        "to": "sales@example.com",
        "title": "Orders of 2027-01-31",
        "text": "71 orders, 1231.00 in all.",
    }


def test_an_import_passes_through_its_four_steps_and_says_how_far_it_is() -> None:
    played = sample("import_orders.json", {"rows": 10})

    assert played.names == ("fetch", "validate", "store", "summarize")
    assert played.step("store").progress[-1] == {"done": 9, "of": 9}
    assert played.output == {"file": "orders.csv", "stored": 9, "rejected": 1}
