"""The executor: claims runs, executes their steps by handlers, reports the outcomes.

from executor import App, StepContext

app = App()

@app.step("charge-card", mutating=True, timeout=30)
def charge_card(context: StepContext) -> dict[str, str]:
    ...
"""

from executor.handlers import App, StepContext
from executor.outcomes import (
    AwaitInput,
    Later,
    OutcomeUnknown,
    StepCancelled,
    StepError,
    Success,
)

__all__ = [
    "App",
    "AwaitInput",
    "Later",
    "OutcomeUnknown",
    "StepCancelled",
    "StepContext",
    "StepError",
    "Success",
]
