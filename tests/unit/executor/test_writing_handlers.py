"""The files that `docs/writing-handlers.md` builds work as it says."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "writing-handlers.md"
TITLED = re.compile(r'^```\w+ title="([\w.]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def test_the_page_s_own_tests_pass(tmp_path: Path) -> None:
    for name, block in TITLED.findall(PAGE.read_text(encoding="utf-8")):
        with (tmp_path / name).open("a", encoding="utf-8") as file:
            file.write(f"{block}\n\n")

    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert {file.suffix for file in tmp_path.iterdir()} >= {".py", ".json"}
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "4 passed" in ended.stdout
