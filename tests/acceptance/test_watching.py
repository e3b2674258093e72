"""The dashboard and the alert rules, against what real processes tell."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest

from orchestrator.lifecycle import Role
from tests import watched
from tests.acceptance.client import Client
from tests.acceptance.processes import ask
from tests.acceptance.stage import Fleet, Stage, stage_on
from tests.acceptance.waiting import eventually
from tests.database import Template, fresh_database
from tests.scraped import Scraped

EXPRESSIONS = watched.expressions()


@pytest.fixture(scope="module")
def told(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """What two server processes and an executor tell after some traffic."""
    directory = tmp_path_factory.mktemp("watching")
    with (
        fresh_database(template) as database,
        stage_on(database, directory, DIBS_WORKERS="2") as stage,
        closing(Fleet(stage, "watched", directory)) as fleet,
        closing(stage.client(Role.OPERATOR)) as ops,
    ):
        ops.ask("PUT", "/v1/queues/watched", {"maxConcurrency": 100})
        executor = fleet.start("one")
        done = ops.create("watched")
        failed = ops.create("watched", "fail")
        ops.wait_for(done, "finished")
        ops.wait_for(failed, "failed")
        own = ask(f"{executor.url}/metrics").text
        yield Scraped(scraped_when_counted(stage) + own)


def scraped_when_counted(stage: Stage) -> str:
    """The server's own scrape; a census of a moment ago may not know the queue yet."""

    def look() -> str | None:
        with closing(Client(stage.orchestrator.url, stage.tokens[Role.VIEWER])) as viewer:
            text = viewer.send("GET", "/metrics").text
        return text if "dibs_queue_max_concurrency{" in text else None

    return eventually(look, what="the census knows the queue")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_that_is_watched_is_told(told: Scraped, expression: str) -> None:
    asked = list(watched.series_asked_for(expression))

    assert asked
    for name, labels in asked:
        of_name = [sample for sample in told.samples if sample.name == name]
        assert of_name, f"nobody tells {name}"
        for label, value in labels.items():
            values = {sample.labels.get(label, "") for sample in of_name}
            assert any(re.fullmatch(value, each) for each in values), f"{name}: no {label}={value}"


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_label_that_tells_series_apart_is_there(told: Scraped, expression: str) -> None:
    labels = {
        label
        for name, _ in watched.series_asked_for(expression)
        for sample in told.samples
        if sample.name == name
        for label in sample.labels
    }

    assert watched.labels_told_by(expression) <= labels


def test_no_two_metrics_share_a_name_whatever_their_types_add_to_it(told: Scraped) -> None:
    declared = re.findall(r"(?m)^# TYPE (\S+) ", told.text)
    # A counter's name with and without `_total` is one name to many a reader.
    names = [name.removesuffix("_total") for name in declared if name.startswith("dibs_")]

    assert len(names) == len(set(names))


def test_the_page_of_metrics_names_all_that_are_told_with_their_types(told: Scraped) -> None:
    page = (watched.DEPLOY.parent / "docs" / "metrics.md").read_text(encoding="utf-8")
    described = re.findall(r"(?m)^\| `(\w+)` \| (\w+) \|", page)

    assert sorted(described) == sorted(re.findall(r"(?m)^# TYPE (\S+) (\S+)$", told.text))


def test_prometheus_takes_what_is_told(told: Scraped) -> None:
    done = promtool("check", "metrics", text=told.text)

    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr


def test_prometheus_takes_every_expression_of_the_dashboard(tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("expressions") / "rules.yml"
    found = watched.dashboard_expressions()
    rules = [{"record": f"panel:{number}", "expr": one} for number, one in enumerate(found)]
    path.write_text(watched.yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    done = promtool("check", "rules", str(path))

    assert done.returncode == 0, done.stdout + done.stderr


def promtool(*command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool: apt-get install prometheus")
    return subprocess.run(
        [found, *command], input=text, capture_output=True, text=True, check=False
    )
