"""Server tokens: they say what was handed over, and cannot be made up."""

import pytest

from orchestrator.api.compat.server_token import (
    ServerToken,
    read_server_token,
    sign_server_token,
)

KEY = "k" * 32
TOKEN = ServerToken(number=2**53 - 1, step_index=7, fence=1763805600123, key_id="0f" * 8)


def test_what_is_signed_is_read() -> None:
    assert read_server_token(KEY, sign_server_token(KEY, TOKEN)) == TOKEN


def test_it_is_good_in_a_header() -> None:
    assert sign_server_token(KEY, TOKEN).isascii()
    assert " " not in sign_server_token(KEY, TOKEN)


def test_another_key_signs_other_tokens() -> None:
    assert read_server_token("x" * 32, sign_server_token(KEY, TOKEN)) is None


@pytest.mark.parametrize("place", range(len(sign_server_token(KEY, TOKEN))))
def test_no_character_of_it_may_be_another(place: int) -> None:
    signed = sign_server_token(KEY, TOKEN)
    changed = "0" if signed[place] != "0" else "1"

    read = read_server_token(KEY, signed[:place] + changed + signed[place + 1 :])

    # The last character of a signature has bits that say nothing.
    assert read is None or (place == len(signed) - 1 and read == TOKEN)


@pytest.mark.parametrize("text", ["", ".", "x", "a.b", "é.é", "\udcff.x", "1-2-3-4", "9" * 400])
def test_what_is_none_is_not_read(text: str) -> None:
    assert read_server_token(KEY, text) is None
