"""First copies: a repeat is known when it comes, and what is remembered is bounded."""

from orchestrator.desk.first_copies import REMEMBERED, FirstCopies


def test_a_key_is_new_once() -> None:
    copies = FirstCopies()

    assert [copies.note(key) for key in ("a", "b", "a", "b", "c")] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_the_last_keys_are_remembered_and_the_oldest_are_not() -> None:
    copies = FirstCopies()
    for key in range(REMEMBERED):
        copies.note(key)

    assert not copies.note(0)
    assert copies.note(REMEMBERED)
    assert not copies.note(REMEMBERED - 1)
    assert not copies.note(REMEMBERED // 2)
    assert copies.note(0)


def test_what_is_remembered_never_grows_beyond_its_bound() -> None:
    copies = FirstCopies()
    for key in range(3 * REMEMBERED):
        copies.note(key)

    assert len(copies._seen) <= REMEMBERED
