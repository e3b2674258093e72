"""How a command of the bench ends: with what was measured written down, or with a word why not."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
from rich.console import Console

from orchestrator.dev.child import ChildError
from orchestrator.dev.embedded import EmbeddedPostgresError
from orchestrator.dev.ending import interrupted_once
from tests.bench.failure import BenchError
from tests.bench.page import PAGE, write_section

INTERRUPTED = 130


@contextmanager
def measuring(messages: Console) -> Iterator[None]:
    """End the command in words when what is measured in this block fails or is interrupted."""
    try:
        with interrupted_once():
            yield
    except KeyboardInterrupt:
        messages.print("stopped; nothing was written")
        sys.exit(INTERRUPTED)
    except (BenchError, ChildError, EmbeddedPostgresError) as error:
        messages.print(f"The bench failed: {error}")
        sys.exit(1)


def write_figures(output: Path, figures: object, messages: Console) -> None:
    """Write what was measured as JSON."""
    output.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    messages.print(f"written: {output}")


def write_page(section: str, markdown: str, messages: Console) -> None:
    """Put the tables into their section of the page."""
    write_section(section, markdown)
    messages.print(f"written: {PAGE}")
