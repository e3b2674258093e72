"""What ends the bench without a result."""


class BenchError(Exception):
    """A sample is worth nothing, and why."""
