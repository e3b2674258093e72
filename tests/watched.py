"""What the dashboard and the alert rules ask Prometheus for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import yaml

DEPLOY = Path(__file__).parents[1] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dibs.json"
RULES = DEPLOY / "prometheus" / "alerts.yml"

_METRIC = re.compile(r"\b(dibs_\w+|process_\w+|up)\b(\{[^}]*\})?")
_MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')


def dashboard() -> dict[str, Any]:
    parsed: dict[str, Any] = orjson.loads(DASHBOARD.read_bytes())
    return parsed


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard_expressions() -> Iterator[str]:
    """Those of the panels, with what Grafana puts in for its variables."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m").replace("$queue", ".*")


def expressions() -> list[str]:
    """All of both."""
    return [*dashboard_expressions(), *(rule["expr"] for rule in rules())]


def series_asked_for(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each metric of an expression, with the values that its labels are to have."""
    for name, selector in _METRIC.findall(expression):
        yield name, {label: value for label, _, value in _MATCHER.findall(selector)}


def labels_told_by(expression: str) -> set[str]:
    """The labels by which an expression tells series apart."""
    grouped = re.findall(r"\bby \(([^)]*)\)", expression)
    return {label.strip() for group in grouped for label in group.split(",")} - {"le", "instance"}
