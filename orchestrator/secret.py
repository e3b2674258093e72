"""A secret, from where a process is given it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class SecretUnusable(Exception):
    """A secret is given twice, or in a file that cannot be read; the message never holds it."""


def secret_from(environment: Mapping[str, str], name: str) -> str | None:
    """
    A secret from its variable, or from the file that `<name>_FILE` names.

    Raises:
        SecretUnusable: Both are set, or the file cannot be read as text.
    """
    given, path = environment.get(name), environment.get(f"{name}_FILE")
    if not path:
        return given or None
    if given:
        raise SecretUnusable(f"{name}_FILE: is set beside {name}: set one of them")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SecretUnusable(f"{name}_FILE: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        # Its message holds what could not be read: it stays out of ours.
        raise SecretUnusable(f"{name}_FILE: {path} is not text in UTF-8") from None
