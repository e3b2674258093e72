"""A run as a command that a shell may be given, whatever its input holds."""

import json
import subprocess
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.pages.curl import MOST_CHARACTERS, creating, reading
from orchestrator.store.records import Run
from orchestrator.visible_text import visible

RUN_ID = UUID("01890000-0000-7000-8000-0000000000ab")
# Says what it was called with, one argument a line, in hex.
PRINTS_ARGUMENTS = """
curl() { for one; do printf '%s' "$one" | od -An -v -tx1 | tr -d ' \\n'; echo; done; }
jq() { cat >/dev/null; curl jq "$@"; }
DIBS_TOKEN=dibs_a_b DIBS_URL=http://dibs
"""


def run_with(input_json: str = "{}", **members: Any) -> Run:
    values = dict.fromkeys(Run._fields) | {
        "id": RUN_ID,
        "workflow": "refund",
        "queue": "default",
        "priority": 0,
        "max_failures": 3,
        "max_crashes": 3,
        "created_at": datetime(2026, 11, 22, tzinfo=UTC),
        "input": orjson.Fragment(input_json),
    }
    return Run(**(values | members))  # type: ignore[arg-type]


def arguments_of(command: str) -> list[str]:
    """What a shell calls curl with."""
    done = subprocess.run(
        ["sh", "-c", PRINTS_ARGUMENTS + command], capture_output=True, check=True, timeout=30
    )
    assert done.stderr == b""
    return [bytes.fromhex(line.decode()).decode() for line in done.stdout.splitlines()]


def body_of(run: Run) -> Any:
    *_, option, body = arguments_of(creating(run))
    assert option == "--data-raw"
    return json.loads(body)


def test_it_names_the_address_and_the_token_by_their_variables() -> None:
    arguments = arguments_of(creating(run_with()))

    assert arguments[:2] == ["-sS", "-H"]
    assert "Authorization: Bearer dibs_a_b" in arguments
    assert "Content-Type: application/json" in arguments
    assert "http://dibs/v1/runs" in arguments
    assert f"http://dibs/v1/runs/{RUN_ID}" in arguments_of(reading(run_with()))


def test_what_says_itself_is_left_out_and_the_rest_is_said() -> None:
    assert body_of(run_with()) == {"workflow": "refund", "input": {}}
    assert body_of(
        run_with(
            '{"orderId": 7}',
            queue="billing",
            priority=-5,
            dedup_key="order 7",
            concurrency_key="customer 9",
            max_failures=1,
            max_crashes=9,
        )
    ) == {
        "workflow": "refund",
        "input": {"orderId": 7},
        "queue": "billing",
        "priority": -5,
        "dedupKey": "order 7",
        "concurrencyKey": "customer 9",
        "maxFailures": 1,
        "maxCrashes": 9,
    }


NASTY = [
    "it's",
    "'; rm -rf / #",
    "$(id) `id` ${HOME} !! \\ \\' \"",
    "@/etc/passwd",
    "line\nline\r\n\t\x1b[31m\x7f\x85\u202e\u200b\U000e0001",
    "größer als 日本 🙂",
    "</pre><script>",
]


@pytest.mark.parametrize("text", NASTY)
def test_an_input_stays_what_it_is(text: str) -> None:
    run = run_with(json.dumps({text: [text]}, ensure_ascii=False), dedup_key=text)

    assert body_of(run) == {
        "workflow": "refund",
        "input": {text: [text]},
        "dedupKey": text,
    }


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")))
def test_any_text_stays_what_it_is(text: str) -> None:
    assert body_of(run_with(json.dumps(text, ensure_ascii=False)))["input"] == text


@pytest.mark.parametrize("text", NASTY)
def test_what_is_copied_from_a_page_is_what_stands_in_it(text: str) -> None:
    command = creating(run_with(json.dumps(text, ensure_ascii=False), dedup_key=text))

    assert visible(command, kept="\n") == command


def test_numbers_stay_exact() -> None:
    exact = "[12345678901234567890123, 1.10, 1e-7]"

    assert f'"input":{exact}' in creating(run_with(exact))


def test_a_long_input_is_fetched_instead_and_nothing_of_it_stands_in_the_command() -> None:
    command = creating(run_with(json.dumps("'x" * MOST_CHARACTERS), dedup_key="'$(id)"))
    arguments = arguments_of(command)

    assert "x" * 9 not in command
    assert "id)" not in command
    assert arguments[-2:] == ["--data-binary", "@-"]
    assert f"http://dibs/v1/runs/{RUN_ID}" in reading(run_with()).replace(
        "$DIBS_URL", "http://dibs"
    )
    assert "{workflow, input, dedupKey}" in command
