"""Put the tables of `docs/reliability.md` where they stand: `python -m tests.chaos.page FILE…`.

Each FILE is what a session wrote by `--chaos-report FILE.json`; of a test that ran in
several, the last one's figures count. Without any, only where each fault is tested is
written anew.
"""

import sys
from pathlib import Path

from tests.bench.page import write_section
from tests.chaos.places import markdown_places
from tests.chaos.record import read_records

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
PLACES = "places"
FIGURES = "figures"


def main(words: list[str]) -> None:
    write_section(PLACES, markdown_places(), PAGE)
    if words:
        write_section(FIGURES, read_records([Path(word) for word in words]).markdown(), PAGE)
    sys.stdout.write(f"written: {PAGE}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
