"""Sample workflows, served by the executors of `make run`."""

from executor.handlers import App
from executor.samples import import_orders, nightly_report, refund

app = App()
for sample in (refund, nightly_report, import_orders):
    app.include(sample.app)
