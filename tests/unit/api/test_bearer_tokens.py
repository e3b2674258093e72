"""Tokens: who is calling, and how long a look-up is believed."""

import hashlib

import pytest

from orchestrator.api.tokens import KEPT_SECONDS, Caller, StoredToken, Tokens
from orchestrator.errors import Unauthenticated
from orchestrator.lifecycle import Role

SOMEONE = Caller("key1", "web", Role.CLIENT, ("default",), None)


@pytest.fixture
def stored():
    """What the database would say now."""
    return {"key1": StoredToken(SOMEONE, hashlib.sha256(b"s3_cret-").digest())}


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def asked():
    """The key ids that were looked up."""
    return []


@pytest.fixture
def tokens(stored, clock, asked):
    def look_up(key_id):
        asked.append(key_id)
        return stored.get(key_id)

    return Tokens(look_up, lambda: clock[0])


def test_a_good_token_tells_who_is_calling(tokens):
    assert tokens.caller("Bearer dibs_key1_s3_cret-") == SOMEONE
    assert tokens.caller("bearer dibs_key1_s3_cret-") == SOMEONE


@pytest.mark.parametrize(
    "credential",
    [
        None,
        "",
        "dibs_key1_s3_cret-",
        "Bearer",
        "Bearer dibs_key1_wrong",
        "Bearer dibs_key2_s3_cret-",
        "Bearer dibs_key1_",
        "Bearer dibs__s3_cret-",
        "Bearer key1_s3_cret-",
        "Basic ZGliczpkaWJz",
        "Bearer dibs_key1_s3_cret-,Bearer dibs_key1_s3_cret-",
        "Bearer dibs_key1_s3_cret- x",
        "Bearer dibs_key1_s3_cret-\n",
        "Bearer dibs_key1_s3_crét-",
        "Bearer dibs_" + "k" * 65 + "_s",
        "Bearer dibs_key1_" + "s" * 10_000,
    ],
)
def test_anything_else_is_refused_in_one_sentence(tokens, credential):
    with pytest.raises(Unauthenticated, match=r"^Send one valid token"):
        tokens.caller(credential)


def test_a_look_up_is_believed_for_half_a_second(tokens, stored, clock, asked):
    tokens.caller("Bearer dibs_key1_s3_cret-")
    stored.clear()
    clock[0] += KEPT_SECONDS - 0.01
    tokens.caller("Bearer dibs_key1_s3_cret-")
    clock[0] += 0.02

    with pytest.raises(Unauthenticated):
        tokens.caller("Bearer dibs_key1_s3_cret-")
    assert asked == ["key1", "key1"]


def test_a_stranger_costs_one_look_up_in_that_time(tokens, asked):
    for _ in range(100):
        with pytest.raises(Unauthenticated):
            tokens.caller("Bearer dibs_nobody_x")

    assert asked == ["nobody"]
