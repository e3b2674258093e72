"""The vitals, as Prometheus is told: the database's, the keeper's, the executors'."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from orchestrator.desk.snapshot_watch import OldSnapshot
from orchestrator.desk.vitals import Vitals
from orchestrator.store.vitals import SILENT, TableSize

_BUILD = (version("dibs"), platform.python_version())
_EXECUTOR_STATES = ("active", "draining", "quarantined", SILENT)


def of_build() -> Iterator[Metric]:
    """What runs here."""
    family = GaugeMetricFamily(
        "dibs_build_info", "Version of Dibs and of Python; always 1.", labels=("version", "python")
    )
    family.add_metric(_BUILD, 1)
    yield family


def of_database(vitals: Vitals | None) -> Iterator[Metric]:
    """Whether the database answers, and what it said; of an absent one nothing else is told."""
    yield GaugeMetricFamily(
        "dibs_database_up", "Whether the database has answered.", vitals is not None
    )
    if vitals is None:
        return
    yield GaugeMetricFamily(
        "dibs_database_latency_seconds",
        "What one small statement took, from here and back.",
        vitals.latency_seconds,
    )
    yield GaugeMetricFamily(
        "dibs_keeper_lag_seconds",
        "Since the keeper's last tick, whichever process is the keeper.",
        vitals.keeper.lag_seconds,
    )
    if vitals.keeper.ticked_at is not None:
        yield GaugeMetricFamily(
            "dibs_keeper_last_tick_timestamp_seconds",
            "When it was, by the database's clock.",
            vitals.keeper.ticked_at.timestamp(),
        )
    yield GaugeMetricFamily(
        "dibs_amnesty",
        "1: after an outage, and for one lease, nothing is taken from anyone.",
        vitals.keeper.in_amnesty,
    )
    yield GaugeMetricFamily(
        "dibs_runs_outcome_unknown",
        "Runs that wait for somebody to say what happened; among the newest that wait.",
        vitals.unknown_outcomes,
    )
    executors = GaugeMetricFamily(
        "dibs_executors",
        "Sessions of executors by state; silent ones are not heard of and do not serve.",
        labels=("state",),
    )
    for state in _EXECUTOR_STATES:
        executors.add_metric((state,), vitals.executors.get(state, 0))
    yield executors
    yield from _of_tables(vitals.tables)


def of_snapshots(old: Sequence[OldSnapshot]) -> Iterator[Metric]:
    """Who keeps dead rows from being removed."""
    yield GaugeMetricFamily(
        "dibs_old_snapshot_holders",
        "Sessions, slots and prepared transactions that have kept dead rows for over a minute.",
        len(old),
    )
    yield GaugeMetricFamily(
        "dibs_oldest_snapshot_seconds",
        "For how long the oldest of them has.",
        max((holder.seconds for holder in old), default=0.0),
    )


def _of_tables(tables: Sequence[TableSize]) -> Iterator[Metric]:
    def family(name: str, told: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, told, labels=("table",))

    live = family("dibs_table_live_rows", "Rows, as the database's statistics have them.")
    dead = family("dibs_table_dead_rows", "Dead row versions that are not removed yet.")
    table_bytes = family("dibs_table_bytes", "Size of a table without its indexes.")
    index_bytes = family("dibs_index_bytes", "Size of its indexes.")
    vacuumed = family("dibs_table_vacuumed_timestamp_seconds", "When it was last vacuumed.")
    for table in tables:
        live.add_metric((table.name,), table.live_rows)
        dead.add_metric((table.name,), table.dead_rows)
        table_bytes.add_metric((table.name,), table.table_bytes)
        index_bytes.add_metric((table.name,), table.index_bytes)
        if table.vacuumed_at is not None:
            vacuumed.add_metric((table.name,), table.vacuumed_at.timestamp())
    yield from (live, dead, table_bytes, index_bytes, vacuumed)
