"""Definitions in files: which there are, and what one holds."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.cli.failure import REFUSED, Failure


@dataclass(frozen=True)
class WorkflowFile:
    """A definition, under the name that the file or its `name` member gives it."""

    path: Path
    name: str
    definition: dict[str, Any]


def files_of(places: Iterable[Path]) -> list[Path]:
    """
    The files themselves, and all `*.json` of directories, by name.

    Raises:
        Failure: A directory has none.
    """
    found: list[Path] = []
    for place in places:
        files = sorted(place.glob("*.json")) if place.is_dir() else [place]
        if not files:
            raise Failure(f"{place} has no *.json file.", REFUSED)
        found += files
    return found


def read_file(path: Path) -> WorkflowFile:
    """
    Read one definition.

    Raises:
        Failure: It cannot be read, or is no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Failure(f"cannot be read: {error.strerror}", REFUSED) from error
    except (ValueError, RecursionError) as error:
        raise Failure(f"is not JSON: {error}", REFUSED) from error
    if not isinstance(content, dict):
        raise Failure("is not a JSON object", REFUSED)
    name = content.pop("name", path.stem)
    if not isinstance(name, str):
        raise Failure('has a "name" that is no text', REFUSED)
    return WorkflowFile(path, name, content)
