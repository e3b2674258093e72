"""
The handler of `dibs demo race`: writes down that it was executed, and nothing else.

Each executor process appends to the file that DIBS_RACE_FILE names, which should
be a file of its own: one line ``<runId> <fence> <pid>`` for each execution.
"""

import os

from executor import App, StepContext

app = App()


@app.step("race")
def race(context: StepContext) -> None:
    """Append one line by one write, so that no kill leaves half of one."""
    line = f"{context.run.id} {context.fence} {os.getpid()}\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(os.environ["DIBS_RACE_FILE"], flags, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
