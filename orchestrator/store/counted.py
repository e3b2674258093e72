"""What is counted of the transactions of one pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Engine

from orchestrator.metrics.catalogue import Metrics, Pool
from orchestrator.metrics.series import Counter

_OPTION = "dibs_counted"


@dataclass(frozen=True, slots=True)
class CountedTransactions:
    """
    The counters of one pool; its engine carries them.

    Attributes:
        committed: It had something to commit, and COMMIT was answered.
        unknown: COMMIT was sent and not answered.
        repeated: It had no effect, and was begun again.
    """

    committed: Counter
    unknown: Counter
    repeated: Counter

    @classmethod
    def of_pool(cls, metrics: Metrics, pool: Pool) -> Self:
        count = metrics.transactions
        return cls(count[pool, "committed"], count[pool, "unknown"], count[pool, "repeated"])

    def carried(self) -> dict[str, Self]:
        """The execution options of an engine that carries these."""
        return {_OPTION: self}


def counted_by(engine: Engine) -> CountedTransactions | None:
    """The counters that an engine carries; None: it is of no process that serves."""
    carried: CountedTransactions | None = engine.get_execution_options().get(_OPTION)
    return carried
