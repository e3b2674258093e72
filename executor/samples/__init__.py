"""
Sample workflows, served by the executors of `make run`.

Beside each module of handlers stands its definition, and in `schedules/` when it
runs by itself.
"""

from executor.handlers import App
from executor.samples import import_orders, nightly_report, refund

app = App()
for sample in (refund, nightly_report, import_orders):
    app.include(sample.app)
