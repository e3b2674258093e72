"""What the options take, and what is printed of what they find."""

from datetime import timedelta
from pathlib import Path

import click
import pytest

from orchestrator.cli.json_value import JsonValue
from orchestrator.cli.output import printable
from orchestrator.cli.token_options import Lasting, QueuePattern, TokenName


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90d", timedelta(days=90)),
        ("12h", timedelta(hours=12)),
        ("30m", timedelta(minutes=30)),
        ("never", None),
    ],
)
def test_a_token_lasts_as_long_as_it_says(text: str, expected: timedelta | None) -> None:
    assert expected == Lasting().convert(text, None, None)


@pytest.mark.parametrize("text", ["", "90", "0d", "-1d", "1w", "90 d", "1.5h", "999999d"])
def test_any_other_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="must look like"):
        Lasting().convert(text, None, None)


@pytest.mark.parametrize("text", ["default", "billing.*", "*", "a-b_c.d"])
def test_a_queue_is_named_exactly_or_by_prefix(text: str) -> None:
    assert text == QueuePattern().convert(text, None, None)


@pytest.mark.parametrize("text", ["", ".*", "**", "a*", "*.b", "-a", "a b", "ä", "x" * 64])
def test_any_other_queue_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="queue's name"):
        QueuePattern().convert(text, None, None)


@pytest.mark.parametrize("text", ["", "-a", "a b", "a\n", "x" * 64])
def test_a_token_s_name_is_a_name(text: str) -> None:
    with pytest.raises(click.BadParameter, match="must be letters"):
        TokenName().convert(text, None, None)


def test_json_comes_from_the_option_or_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"from": "file"}')

    assert JsonValue().convert('{"from": "option"}', None, None) == {"from": "option"}
    assert JsonValue().convert(f"@{file}", None, None) == {"from": "file"}


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "is not JSON"), ("@/nowhere/at/all", "cannot read")]
)
def test_what_is_no_json_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(click.BadParameter, match=sentence):
        JsonValue().convert(text, None, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        ("plain ü", "plain ü"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("two\nlines", "two\\nlines"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ({"key": "\x1b]0;title\x07"}, '{"key": "\\u001b]0;title\\u0007"}'),
        (7, "7"),
    ],
)
def test_no_control_character_of_a_run_reaches_the_terminal(value: object, expected: str) -> None:
    assert expected == printable(value)
