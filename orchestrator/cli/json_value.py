"""An option whose value is JSON."""

import json
import sys
from pathlib import Path
from typing import Any

import click


class JsonValue(click.ParamType[Any]):
    """JSON as it stands, `@file`, or `-` for standard input."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(_read(value))
        except OSError as error:
            self.fail(f"cannot read {error.filename}: {error.strerror}.", param, ctx)
        except ValueError as error:
            self.fail(f"is not JSON: {error}.", param, ctx)


def _read(value: str) -> str:
    if value == "-":
        return sys.stdin.read()
    if value.startswith("@"):
        return Path(value[1:]).read_text(encoding="utf-8")
    return value
