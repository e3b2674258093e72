"""Tokens: who is calling, how long what was read is believed, and what strangers cost."""

import hashlib
import hmac
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.api.tokens import (
    BELIEVED_SECONDS,
    MOST_STRANGERS_WAITING,
    STRANGERS_EVERY_SECONDS,
    Caller,
    StoredToken,
    Tokens,
)
from orchestrator.errors import Overloaded, Unauthenticated, Unavailable
from orchestrator.lifecycle import Role
from tests.acceptance.waiting import eventually

SOMEONE = Caller("key1", "web", Role.CLIENT, ("default",), None)
GOOD = "Bearer dibs_key1_s3_cret-"
UNKNOWN_ID = "Bearer dibs_nobody_s3_cret-"
WRONG_SECRET = "Bearer dibs_key1_wrong"


class World:
    """A database whose readings are counted, and a clock that goes when someone sleeps."""

    def __init__(self):
        self.stored = {"key1": StoredToken(SOMEONE, hashlib.sha256(b"s3_cret-").digest())}
        self.now = 100.0
        self.read_at = []
        self.slept = []

    def read(self):
        self.read_at.append(self.now)
        return dict(self.stored)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def make(self, key_id, secret="s"):
        who = Caller(key_id, key_id, Role.EXECUTOR, ("default",), None)
        self.stored[key_id] = StoredToken(who, hashlib.sha256(secret.encode()).digest())


@pytest.fixture
def world():
    return World()


class Stuck:
    """Readings of a world that hang, but for the first, until they may go on."""

    def __init__(self, world):
        self._world = world
        self.hangs = threading.Event()
        self.go_on = threading.Event()

    def read(self):
        if self._world.read_at:
            self.hangs.set()
            assert self.go_on.wait(30)
        return self._world.read()


@pytest.fixture
def stuck(world):
    return Stuck(world)


@pytest.fixture
def tokens(world):
    return Tokens(world.read, lambda: world.now, world.sleep)


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
    assert tokens.known_caller(credential) is None


def test_a_reading_is_believed_for_a_second(tokens, world):
    assert tokens.known_caller(GOOD) == SOMEONE
    world.stored.clear()
    world.now += BELIEVED_SECONDS - 0.01
    assert tokens.known_caller(GOOD) == SOMEONE
    world.now += 0.01

    assert tokens.known_caller(GOOD) is None
    assert world.read_at == [100.0, 101.0]


def test_five_hundred_tokens_cost_one_reading_a_second(tokens, world):
    for number in range(500):
        world.make(f"{number}")

    for tick in range(1_000):
        world.now = 100.0 + tick / 25
        assert tokens.known_caller(f"Bearer dibs_{tick % 500}_s")

    assert len(world.read_at) == 40


def test_a_token_made_a_moment_ago_is_good_at_once(tokens, world):
    tokens.caller(GOOD)
    world.make("new")
    world.now += 0.2

    assert tokens.known_caller("Bearer dibs_new_s") is None
    assert tokens.caller("Bearer dibs_new_s").name == "new"
    assert world.slept == []


def test_strangers_have_the_tokens_read_twenty_times_a_second_at_most(tokens, world):
    tokens.caller(GOOD)
    began_at = world.now
    for number in range(100):
        with pytest.raises(Unauthenticated):
            tokens.caller(f"Bearer dibs_nobody{number}_s")
        world.now += 0.001

    seconds = world.now - began_at
    assert len(world.read_at) <= 1 + seconds / STRANGERS_EVERY_SECONDS


@pytest.mark.parametrize(("reading_takes", "next_after"), [(0.04, 0.4), (3, 1)])
def test_a_slow_reading_is_repeated_for_strangers_less_often(world, reading_takes, next_after):
    """It takes a tenth of the time; but nobody waits longer than what is known is believed."""

    def read():
        world.now += reading_takes
        return world.read()

    tokens = Tokens(read, lambda: world.now, world.sleep)
    tokens.caller(GOOD)
    began_at = world.now - reading_takes
    with pytest.raises(Unauthenticated):
        tokens.caller(UNKNOWN_ID)

    assert world.read_at[-1] - reading_takes >= began_at + next_after - 1e-9
    assert sum(world.slept) <= 1


def test_an_unknown_id_and_a_wrong_secret_are_the_same_work(world, monkeypatch):
    """Neither is known by what was read, so both wait for what is read after they came."""
    compared = []
    compare = hmac.compare_digest
    monkeypatch.setattr(
        hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or compare(a, b)
    )
    work = {}
    for credential in (UNKNOWN_ID, WRONG_SECRET):
        compared.clear(), world.read_at.clear(), world.slept.clear()
        world.now = 100.0
        tokens = Tokens(world.read, lambda: world.now, world.sleep)
        tokens.caller(GOOD)
        assert tokens.known_caller(credential) is None
        with pytest.raises(Unauthenticated):
            tokens.caller(credential)
        work[credential] = (compared.copy(), world.read_at.copy(), world.slept.copy())

    assert work[UNKNOWN_ID] == work[WRONG_SECRET]
    assert work[UNKNOWN_ID] == ([(32, 32)] * 4, [100.0, 100.05], [pytest.approx(0.05)])


def test_nobody_who_is_known_waits_for_a_reading_that_strangers_cause(world, stuck):
    """The reading hangs; a good token is served from the one before as long as that is believed."""
    tokens = Tokens(stuck.read, lambda: world.now, world.sleep)
    tokens.caller(GOOD)
    with ThreadPoolExecutor(1) as pool:
        stranger = pool.submit(tokens.caller, UNKNOWN_ID)
        assert stuck.hangs.wait(30)
        known = [tokens.caller(GOOD) for _ in range(3)]
        stuck.go_on.set()

        assert known == [SOMEONE] * 3
        with pytest.raises(Unauthenticated):
            stranger.result(30)


def test_only_so_many_strangers_wait_and_of_the_others_nothing_is_said(world, stuck):
    tokens = Tokens(stuck.read, lambda: world.now, lambda _seconds: None)
    tokens.caller(GOOD)
    with ThreadPoolExecutor(MOST_STRANGERS_WAITING) as pool:
        waiting = [pool.submit(tokens.caller, UNKNOWN_ID) for _ in range(MOST_STRANGERS_WAITING)]
        assert stuck.hangs.wait(30)
        eventually(lambda: tokens._strangers._value == 0)
        for credential in (UNKNOWN_ID, WRONG_SECRET):
            with pytest.raises(Overloaded):
                tokens.caller(credential)
        assert not any(each.done() for each in waiting)
        stuck.go_on.set()

        for each in waiting:
            with pytest.raises(Unauthenticated):
                each.result(30)
    assert tokens._strangers._value == MOST_STRANGERS_WAITING


def test_threads_that_find_the_reading_too_old_together_share_one(world, stuck):
    tokens = Tokens(stuck.read, lambda: world.now)
    tokens.caller(GOOD)
    world.now += BELIEVED_SECONDS
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(tokens.caller, GOOD)
        assert stuck.hangs.wait(30)
        others = [pool.submit(tokens.caller, GOOD) for _ in range(3)]
        stuck.go_on.set()

        assert [each.result(30) for each in (first, *others)] == [SOMEONE] * 4
    assert world.read_at == [100.0, 101.0]


def test_a_reading_that_fails_is_every_askers_own_failure_and_forgets_nothing(world):
    away = [False]

    def read():
        if away[0]:
            raise Unavailable("The database is not available.")
        return world.read()

    tokens = Tokens(read, lambda: world.now, world.sleep)
    tokens.caller(GOOD)
    away[0] = True
    with pytest.raises(Unavailable):
        tokens.caller(UNKNOWN_ID)
    assert tokens.caller(GOOD) == SOMEONE
    world.now += BELIEVED_SECONDS
    with pytest.raises(Unavailable):
        tokens.caller(GOOD)
    away[0] = False

    assert tokens.caller(GOOD) == SOMEONE
