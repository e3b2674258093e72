"""Alert rules: each says what to do, and fires when it should."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
PLAYED = ROOT / "tests" / "prometheus" / "alerts_test.yml"

ALERTS = [
    rule
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]


@pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
def test_an_alert_says_how_bad_it_is_and_where_to_read_what_to_do(alert):
    page, _, heading = alert["annotations"]["runbook"].partition("#")
    headings = re.findall(r"(?m)^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"))

    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert alert["annotations"]["summary"]
    assert heading in [one.lower().replace(" ", "-") for one in headings]


def test_each_alert_is_played_when_everything_is_wrong():
    _, wrong, _ = yaml.safe_load(PLAYED.read_text(encoding="utf-8"))["tests"]
    (expected,) = wrong["promql_expr_test"]
    fires = {re.search(r'"(\w+)"', one["labels"])[1] for one in expected["exp_samples"]}

    assert fires == {alert["alert"] for alert in ALERTS}


@pytest.mark.parametrize(
    "command", [["check", "rules", RULES], ["test", "rules", PLAYED]], ids=["check", "test"]
)
def test_prometheus_takes_the_rules_and_they_fire_when_they_should(command):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool: apt-get install prometheus")

    done = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
