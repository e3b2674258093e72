"""What strangers may cost: their rate, their places, and what is kept of them."""

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from types import FrameType, FunctionType, ModuleType
from uuid import uuid4

import pytest

from executor.callers import Callers, NotAuthenticatedError, digest_of
from executor.client import Identity, Orchestrator
from executor.rate import MOST_KEYS, Rate
from executor.strangers import (
    QUESTIONS_AT_ONCE,
    REQUESTS_AT_FIRST,
    Strangers,
    TooManyStrangersError,
    whose,
)
from executor.transport import UnansweredError

HERE, THERE = "192.0.2.1", "192.0.2.2"
CALLER = {"name": "web", "role": "client", "queues": ["default"], "expiresAt": None}
REFUSED = {"code": "unauthenticated", "credential": "on-behalf-of"}
SLOW_RATE = 0.1
GOOD = "dibs_c_good"
NOT_ITS_OWN = (type, ModuleType, FunctionType, FrameType)


@pytest.fixture
def make_callers(answers) -> Callable[..., Callers]:
    pools = []

    def make(per_second: float = SLOW_RATE) -> Callers:
        identity = Identity("dibs_k_secret", "e1", "session")
        pools.append(Orchestrator(answers.url, identity, False))
        return Callers(pools[-1], Strangers(per_second))

    yield make
    for pool in pools:
        pool.close()


def exhaust(callers: Callers, address: str) -> None:
    """Let an address send what it may, without a token."""
    for _ in range(REQUESTS_AT_FIRST):
        with pytest.raises(NotAuthenticatedError):
            callers.identify(None, address)


def test_a_rate_gives_what_there_is_at_first_and_then_what_time_brings():
    rate = Rate(per_second=2.0, at_first=3)

    assert [rate.take("a", 100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert rate.take("a", 100.0) == pytest.approx(0.5)
    assert rate.take("a", 100.25) == pytest.approx(0.25)
    assert rate.take("b", 100.25) == 0.0
    assert rate.take("a", 100.5) == 0.0
    assert [rate.take("a", 1000.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert rate.take("a", 1000.0) > 0


def test_what_is_put_back_can_be_taken_again():
    rate = Rate(per_second=1.0, at_first=1)
    rate.take("a", 100.0)

    rate.put_back("a")

    assert rate.take("a", 100.0) == 0.0


def test_a_rate_remembers_a_bounded_number_of_keys_the_latest():
    rate = Rate(per_second=1.0, at_first=1)
    for number in range(3 * MOST_KEYS):
        rate.take(str(number), 100.0)

    assert len(rate) == MOST_KEYS
    assert rate.take(str(3 * MOST_KEYS - 1), 100.0) > 0


def test_who_took_something_lately_is_not_forgotten():
    rate = Rate(per_second=1.0, at_first=2)
    rate.take("busy", 100.0)
    for number in range(MOST_KEYS - 1):
        rate.take(str(number), 100.0)
    rate.take("busy", 100.0)

    rate.take("one more", 100.0)

    assert rate.take("busy", 100.0) > 0


@pytest.mark.parametrize(
    ("address", "stands"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_address_of_ipv6_stands_for_its_network(address: str, stands: str):
    assert whose(address) == stands


def test_an_address_that_sent_too_many_is_told_when_to_come_back(make_callers, answers):
    callers = make_callers()
    exhaust(callers, HERE)

    with pytest.raises(TooManyStrangersError) as refused:
        callers.identify("dibs_c_unknown", HERE)

    assert 1 < refused.value.retry_after_seconds <= 1 / SLOW_RATE
    assert answers.bodies("whoami") == []
    with pytest.raises(NotAuthenticatedError):
        callers.identify(None, THERE)


def test_each_new_token_of_an_address_counts(make_callers, answers):
    answers.say("whoami", REFUSED, 401)
    callers = make_callers()
    for number in range(REQUESTS_AT_FIRST):
        with pytest.raises(NotAuthenticatedError):
            callers.identify(f"dibs_c_{number}", HERE)

    with pytest.raises(TooManyStrangersError):
        callers.identify("dibs_c_another", HERE)
    assert len(answers.bodies("whoami")) == REQUESTS_AT_FIRST


def test_who_is_known_is_let_in_whatever_his_neighbours_do(make_callers, answers):
    answers.say("whoami", CALLER)
    callers = make_callers()
    callers.identify(GOOD, HERE)
    exhaust(callers, HERE)

    assert callers.identify(GOOD, HERE).name == "web"
    assert len(answers.bodies("whoami")) == 1


def test_who_was_good_when_last_asked_about_is_asked_about_again(
    make_callers, answers, monkeypatch
):
    monkeypatch.setattr("executor.callers.KNOWN_SECONDS", 0.0)
    answers.say("whoami", CALLER)
    callers = make_callers()
    callers.identify(GOOD, HERE)
    exhaust(callers, HERE)

    assert callers.identify(GOOD, HERE).name == "web"
    assert len(answers.bodies("whoami")) == 2


def test_who_is_good_no_longer_is_a_stranger(make_callers, answers, monkeypatch):
    monkeypatch.setattr("executor.callers.KNOWN_SECONDS", 0.0)
    monkeypatch.setattr("executor.callers.REFUSED_SECONDS", 0.0)
    answers.say("whoami", CALLER).then("whoami", REFUSED, 401)
    callers = make_callers()
    callers.identify(GOOD, HERE)
    exhaust(callers, HERE)
    with pytest.raises(NotAuthenticatedError):
        callers.identify(GOOD, HERE)

    with pytest.raises(TooManyStrangersError):
        callers.identify(GOOD, HERE)


def test_new_tokens_that_are_good_are_not_counted(make_callers, answers):
    answers.say("whoami", CALLER)
    callers = make_callers()

    for number in range(3 * REQUESTS_AT_FIRST):
        assert callers.identify(f"dibs_c_{number}", HERE).name == "web"


def test_many_requests_with_one_new_token_are_all_let_in(make_callers, answers):
    answers.say("whoami", CALLER)
    callers = make_callers()

    with ThreadPoolExecutor(REQUESTS_AT_FIRST) as threads:
        found = list(threads.map(lambda _: callers.identify(GOOD, HERE), range(REQUESTS_AT_FIRST)))

    assert {caller.name for caller in found} == {"web"}
    assert len(answers.bodies("whoami")) <= QUESTIONS_AT_ONCE


def test_all_addresses_together_have_one_rate_for_questions(make_callers, answers, monkeypatch):
    monkeypatch.setattr("executor.strangers.QUESTIONS_PER_SECOND", SLOW_RATE)
    monkeypatch.setattr("executor.strangers.QUESTIONS_AT_FIRST", 3)
    answers.say("whoami", REFUSED, 401)
    callers = make_callers()
    for number in range(3):
        with pytest.raises(NotAuthenticatedError):
            callers.identify(f"dibs_c_{number}", f"192.0.2.{number}")

    with pytest.raises(TooManyStrangersError):
        callers.identify("dibs_c_another", "192.0.2.99")
    assert len(answers.bodies("whoami")) == 3


def test_no_more_questions_are_asked_at_once_than_there_are_places(make_callers, answers):
    let_go = threading.Event()

    def slowly(_):
        let_go.wait(10)
        return 401, REFUSED

    answers.say("whoami", slowly)
    callers = make_callers()

    with ThreadPoolExecutor(2 * QUESTIONS_AT_ONCE) as threads:
        asking = [
            threads.submit(callers.identify, f"dibs_c_{number}", HERE)
            for number in range(2 * QUESTIONS_AT_ONCE)
        ]
        # The others give up while the first still wait for their answer.
        gave_up = [ended.exception() for ended in islice(as_completed(asking), QUESTIONS_AT_ONCE)]
        asked = len(answers.bodies("whoami"))
        let_go.set()

    assert asked == QUESTIONS_AT_ONCE
    assert {type(error) for error in gave_up} == {TooManyStrangersError}


def test_while_nobody_answers_no_stranger_waits_for_a_place(make_callers, answers, monkeypatch):
    monkeypatch.setattr("executor.strangers.PLACE_SECONDS", 3600.0)
    answers.say("whoami", {}, 503)
    callers = make_callers()
    with pytest.raises(UnansweredError):
        callers.identify("dibs_c_first", HERE)
    let_go = threading.Event()
    answers.say("whoami", lambda _: (503, {"waited": let_go.wait(10)}))

    with ThreadPoolExecutor(QUESTIONS_AT_ONCE) as threads:
        for number in range(QUESTIONS_AT_ONCE):
            threads.submit(callers.identify, f"dibs_c_{number}", HERE)
        answers.wait_for("whoami", QUESTIONS_AT_ONCE + 1)
        with pytest.raises(TooManyStrangersError):
            callers.identify("dibs_c_last", HERE)
        let_go.set()


def test_of_a_token_only_its_digest_is_kept(make_callers, answers):
    answers.say("whoami", CALLER).then("whoami", REFUSED, 401)
    callers = make_callers()
    good, bad = (f"dibs_c_{uuid4().hex}" for _ in range(2))
    callers.identify(good, HERE)
    with pytest.raises(NotAuthenticatedError):
        callers.identify(bad, HERE)

    kept = texts_within(callers)

    assert digest_of(good) in kept
    assert digest_of(bad) in kept
    secrets = {form for token in (good, bad) for form in (token, token.encode())}
    assert [text for text in kept if any(_holds(text, secret) for secret in secrets)] == []


def texts_within(whole: object) -> set[str | bytes]:
    """Every text that an object holds, in its parts and in theirs."""
    found: set[str | bytes] = set()
    seen: set[int] = set()
    left = [whole]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, NOT_ITS_OWN):
            continue
        seen.add(id(one))
        if isinstance(one, bytearray):
            found.add(bytes(one))
        elif isinstance(one, str | bytes):
            found.add(one)
        else:
            left += gc.get_referents(one)
    return found


def _holds(text: str | bytes, secret: str | bytes) -> bool:
    return type(text) is type(secret) and secret in text  # type: ignore[operator]
