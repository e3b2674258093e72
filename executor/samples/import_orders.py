"""
Import orders: takes a few seconds, says how far it is, stops when it is told to.

    curl … -d '{"workflow": "import-orders", "input": {"rows": 50}}'
"""

from typing import Any

from executor import App, StepContext

app = App()

SECONDS_PER_ROW = 0.1


@app.step("import-orders", timeout=120)
def import_orders(context: StepContext) -> dict[str, Any]:
    """Import row by row; each wait is also a look at whether to stop."""
    rows = int((context.input or {}).get("rows", 30))
    for row in range(rows):
        context.aborted.wait(SECONDS_PER_ROW)
        context.stop_if_aborted()
        context.progress({"done": row + 1, "of": rows})
    return {"imported": rows}
