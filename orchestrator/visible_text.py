"""Text from anywhere, made fit to be looked at: in a terminal and in a page."""

from __future__ import annotations


def visible(text: str, *, kept: str = "") -> str:
    """
    A text in which every character can be seen.

    What came from a run may hold escape codes that rewrite a terminal, and marks that
    turn the direction of what is read: each stands there as Python would write it.

    Args:
        kept: Characters that are left alone all the same.
    """
    # Almost all text is; a page has a thousand pieces of it.
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in kept else repr(character)[1:-1]
        for character in text
    )
