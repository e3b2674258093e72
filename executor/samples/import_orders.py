"""
Import a file of orders: takes a few seconds, says how far it is, stops when it is told to.

    fetch ─▶ validate ─▶ store ─▶ summarize

    dibs runs create import-orders --input '{"file": "orders.csv", "rows": 50}'
"""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from executor import App, StepContext, StepError

app = App()

SECONDS_PER_ROW = 0.02


@dataclass(frozen=True)
class File:
    """A file of orders; this sample makes up its rows."""

    file: str = "orders.csv"
    rows: Annotated[int, Field(ge=0, le=5_000)] = 30


@app.step("fetch-orders")
def fetch(_: StepContext, file: File) -> list[dict[str, Any]]:
    """Read the rows; every tenth has no customer."""
    return [
        {"order": number, "customer": None if number % 10 == 0 else f"C{number}"}
        for number in range(1, file.rows + 1)
    ]


@app.step("validate-orders")
def validate(context: StepContext) -> dict[str, Any]:
    """Part good rows from bad ones; a file of bad ones only is not worth a second try."""
    rows = context.outputs["fetch"]
    good = [row["order"] for row in rows if row["customer"]]
    if rows and not good:
        raise StepError("no row of the file has a customer", retryable=False)
    return {"good": good, "rejected": len(rows) - len(good)}


@app.step("store-orders", timeout=300)
def store(context: StepContext) -> dict[str, int]:
    """Store row by row, where a row that is there already stays; safe to repeat."""
    good = context.outputs["validate"]["good"]
    for done, _ in enumerate(good, start=1):
        context.aborted.wait(SECONDS_PER_ROW)
        context.stop_if_aborted()
        context.progress({"done": done, "of": len(good)})
    return {"stored": len(good)}


@app.step("summarize-import")
def summarize(context: StepContext, file: File) -> dict[str, Any]:
    """Say what became of the file."""
    return {
        "file": file.file,
        "stored": context.outputs["store"]["stored"],
        "rejected": context.outputs["validate"]["rejected"],
    }
