"""Tokens: who is calling, and how long a look-up is believed."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.api.tokens import (
    BELIEVED_SECONDS,
    IN_USE_SECONDS,
    Caller,
    StoredToken,
    Tokens,
)
from orchestrator.errors import Unauthenticated, Unavailable
from orchestrator.lifecycle import Role
from tests.acceptance.waiting import eventually

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
    """The key ids that each statement looked up."""
    return []


@pytest.fixture
def tokens(stored, clock, asked):
    def look_up(key_ids):
        asked.append(sorted(key_ids))
        return {key_id: stored[key_id] for key_id in key_ids if key_id in stored}

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


def test_a_look_up_is_believed_for_a_second(tokens, stored, clock, asked):
    tokens.caller("Bearer dibs_key1_s3_cret-")
    stored.clear()
    clock[0] += BELIEVED_SECONDS - 0.01
    tokens.caller("Bearer dibs_key1_s3_cret-")
    clock[0] += 0.01

    for _ in range(2):
        with pytest.raises(Unauthenticated):
            tokens.caller("Bearer dibs_key1_s3_cret-")
    assert asked == [["key1"], ["key1"]]


def test_a_stranger_costs_one_look_up_in_that_time(tokens, clock, asked):
    for _ in range(100):
        with pytest.raises(Unauthenticated):
            tokens.caller("Bearer dibs_nobody_x")
    clock[0] += BELIEVED_SECONDS
    with pytest.raises(Unauthenticated):
        tokens.caller("Bearer dibs_nobody_x")

    assert asked == [["nobody"], ["nobody"]]


# When which token is used, and what each statement looks up from then on.
USES = [
    ("the first use looks up", [(0, "a"), (0, "b")], [["a"], ["b"]]),
    ("within a second nothing is asked", [(0, "a"), (0.9, "a")], [["a"]]),
    (
        "the oldest that is due takes all others along",
        [(0, "a"), (0.7, "b"), (1, "a"), (1.9, "b")],
        [["a"], ["b"], ["a", "b"]],
    ),
    (
        "the next one is due a second later, whoever asks",
        [(0, "a"), (0, "b"), (5, "b"), (5.9, "a"), (6, "a"), (6.5, "b")],
        [["a"], ["b"], ["a", "b"], ["a", "b"]],
    ),
    (
        "what nobody uses any more is forgotten, and known again when it is used",
        [(0, "a"), (0, "b"), (IN_USE_SECONDS, "b"), (IN_USE_SECONDS + 0.5, "a")],
        [["a"], ["b"], ["b"], ["a"]],
    ),
]


@pytest.mark.parametrize(
    ("uses", "statements"), [case[1:] for case in USES], ids=[case[0] for case in USES]
)
def test_tokens_in_use_are_looked_up_together(tokens, stored, clock, asked, uses, statements):
    for name in "ab":
        caller = Caller(name, name, Role.EXECUTOR, ("default",), None)
        stored[name] = StoredToken(caller, hashlib.sha256(b"s").digest())

    for seconds, name in uses:
        clock[0] = 100.0 + seconds
        assert tokens.caller(f"Bearer dibs_{name}_s").name == name

    assert asked == statements


def test_five_hundred_idle_tokens_cost_one_statement_a_second(tokens, stored, clock, asked):
    for number in range(500):
        caller = Caller(f"{number}", f"{number}", Role.EXECUTOR, ("default",), None)
        stored[f"{number}"] = StoredToken(caller, hashlib.sha256(b"s").digest())
        tokens.caller(f"Bearer dibs_{number}_s")
    asked.clear()

    # Each is used once in twenty seconds.
    for tick in range(1_000):
        clock[0] = 100.0 + tick / 25
        tokens.caller(f"Bearer dibs_{tick % 500}_s")

    assert len(asked) == 39
    assert {len(key_ids) for key_ids in asked} == {500}


def test_threads_that_find_theirs_too_old_together_share_one_statement(stored):
    begun, go_on = threading.Event(), threading.Event()
    clock, asked = [100.0], []

    def look_up(key_ids):
        asked.append(sorted(key_ids))
        if len(asked) > 1:
            begun.set()
            assert go_on.wait(30)
        return {key_id: stored[key_id] for key_id in key_ids}

    tokens = Tokens(look_up, lambda: clock[0])
    tokens.caller("Bearer dibs_key1_s3_cret-")
    clock[0] += BELIEVED_SECONDS
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(tokens.caller, "Bearer dibs_key1_s3_cret-")
        assert begun.wait(30)
        others = [pool.submit(tokens.caller, "Bearer dibs_key1_s3_cret-") for _ in range(3)]
        go_on.set()

        assert [each.result(30) for each in (first, *others)] == [SOMEONE] * 4
    assert asked == [["key1"], ["key1"]]


def test_a_token_that_is_used_again_while_it_is_being_forgotten_is_as_good_as_before(stored):
    """The others' look-up has left it out by then: it is looked up by itself."""
    for name in "ab":
        caller = Caller(name, name, Role.EXECUTOR, ("default",), None)
        stored[name] = StoredToken(caller, hashlib.sha256(b"s").digest())
    begun, go_on = threading.Event(), threading.Event()
    clock, asked = [100.0], []

    def look_up(key_ids):
        asked.append(sorted(key_ids))
        if len(asked) == 3:
            begun.set()
            assert go_on.wait(30)
        return {key_id: stored[key_id] for key_id in key_ids}

    tokens = Tokens(look_up, lambda: clock[0])
    for name in "ab":
        tokens.caller(f"Bearer dibs_{name}_s")
    clock[0] += IN_USE_SECONDS
    with ThreadPoolExecutor(2) as pool:
        busy = pool.submit(tokens.caller, "Bearer dibs_a_s")
        assert begun.wait(30)
        back = pool.submit(tokens.caller, "Bearer dibs_b_s")
        # Found in use, and about to wait for the look-up to end.
        eventually(lambda: tokens._in_use["b"].used_at == clock[0])
        go_on.set()

        assert [busy.result(30).name, back.result(30).name] == ["a", "b"]
    assert asked == [["a"], ["b"], ["a"], ["b"]]


def test_a_look_up_that_fails_is_every_users_own_failure_and_forgets_nothing(stored):
    away = [False]

    def look_up(key_ids):
        if away[0]:
            raise Unavailable("The database is not available.")
        return {key_id: stored[key_id] for key_id in key_ids}

    clock = [100.0]
    tokens = Tokens(look_up, lambda: clock[0])
    tokens.caller("Bearer dibs_key1_s3_cret-")
    clock[0] += BELIEVED_SECONDS
    away[0] = True
    with pytest.raises(Unavailable):
        tokens.caller("Bearer dibs_key1_s3_cret-")
    away[0] = False

    assert tokens.caller("Bearer dibs_key1_s3_cret-") == SOMEONE
