"""Text for a terminal: what came from outside cannot steer it."""


def printable(text: str) -> str:
    """A text on one line, its control characters written out."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )


def printable_lines(text: str) -> str:
    """Some lines, all but the first indented: none can pass for the beginning of another text."""
    return "\n  ".join(map(printable, text.split("\n")))
