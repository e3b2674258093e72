"""The bench works: its smallest samples, and no opinion on what they say."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.bench.targets import Target

ROOT = Path(__file__).parent.parent.parent
RATES = ["claims", "cycles", "batches", "drain"]
SIDES = {"product", "ours", "bare"}


# About a minute where nothing else runs, several on a busy machine.
@pytest.mark.timeout(400)
def test_the_bench_measures_every_figure_on_every_side(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"

    ended = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--quick", "--workers=1", f"--output={output}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    found = orjson.loads(output.read_bytes())
    assert [figure["key"] for figure in found["figures"]] == RATES
    for figure in found["figures"]:
        assert figure["name"] in ended.stdout
        assert figure["medians"].keys() == SIDES
        assert all(median > 0 for median in figure["medians"].values())
        assert figure["target"].startswith("≥ ")
    assert 0 < found["createToHandlerStartMs"]["p50"] <= found["createToHandlerStartMs"]["p99"]
    alone, *with_executors = found["idleExecutors"]
    assert alone["executors"] == 0
    assert [one["tokens"] for one in with_executors] == [1, with_executors[1]["executors"]]
    assert len(found["targets"]) == 4
    assert all(target["name"] in ended.stdout for target in found["targets"])
    assert found["machine"]["postgres"].startswith("18")


@pytest.mark.parametrize(
    ("target", "met", "missed"),
    [(Target(0.7, at_least=True), 0.7, 0.69), (Target(5, at_least=False, unit=" ms"), 5.0, 5.1)],
    ids=str,
)
def test_a_target_is_met_up_to_its_bound(target: Target, met: float, missed: float) -> None:
    assert target.is_met(met)
    assert not target.is_met(missed)


def test_the_bench_names_the_figures_it_knows() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--only=claims,speed"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    assert "speed: choose from claims, cycles, batches, drain, start, idle" in ended.stderr
