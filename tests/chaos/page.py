"""Put the tables of `docs/reliability.md` where they stand: `python -m tests.chaos.page FILE…`.

Each FILE is what a session wrote by `--chaos-report FILE.json`. It is added to
`docs/reliability.json`; of a test that ran in several sessions the last one's outcome
counts. Without any, the tables are written anew from what is there.
"""

import sys
from pathlib import Path

from tests.bench.page import write_section
from tests.chaos.places import markdown_places
from tests.chaos.record import markdown, read_sessions, write_sessions

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
RECORD = PAGE.with_suffix(".json")
PLACES = "places"
FIGURES = "figures"


def main(words: list[str]) -> None:
    write_section(PLACES, markdown_places(), page=PAGE)
    sessions = read_sessions(filter(Path.exists, [RECORD, *map(Path, words)]))
    if sessions:
        write_sessions(RECORD, sessions)
        write_section(FIGURES, markdown(sessions), page=PAGE)
    sys.stdout.write(f"written: {PAGE}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
