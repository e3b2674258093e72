"""The bench works: its smallest samples, and no opinion on what they say."""

import subprocess
import sys
from pathlib import Path

import orjson

ROOT = Path(__file__).parent.parent.parent
SIDES = {"product", "ours", "bare"}


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
    assert len(found["figures"]) == 3
    for figure in found["figures"]:
        assert figure["name"] in ended.stdout
        assert figure["medians"].keys() == SIDES
        assert all(median > 0 for median in figure["medians"].values())
    assert 0 < found["createToHandlerStartMs"]["p50"] <= found["createToHandlerStartMs"]["p99"]
    assert found["machine"]["postgres"].startswith("18")
