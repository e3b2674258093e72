"""The workflow that `docs/first-steps.md` writes works as it says."""

import importlib.util
import re
from pathlib import Path

from executor.testing import play

PAGE = Path(__file__).parents[3] / "docs" / "first-steps.md"
TITLED = re.compile(r'^```\w+ title="([\w.]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def test_the_workflow_of_the_first_steps_is_played_to_its_end(tmp_path: Path) -> None:
    for name, block in TITLED.findall(PAGE.read_text(encoding="utf-8")):
        (tmp_path / name).write_text(block, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("greetings", tmp_path / "greetings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    played = play(module.app, tmp_path / "greet.json")

    assert played.output == "sent to ada@example.com"
