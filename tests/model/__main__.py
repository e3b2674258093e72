"""`make model`: search every case, print a table, and fail if one is not as it should be."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.page import paper, write_section
from tests.model.cases import CASES, Case
from tests.model.spin import INSTALL, SpinError, missing, search, version
from tests.model.table import Row, heading, line, markdown

PAGE = Path("docs/model.md")


def main(words: Sequence[str]) -> int:
    """The status that the process ends with."""
    asked = _asked(words)
    if lacking := missing():
        sys.stderr.write(f"model: {' and '.join(lacking)} cannot be found: {INSTALL}\n")
        return 1
    cases = [case for case in CASES if not asked.only or case.name in asked.only]
    began_at = time.monotonic()
    out = paper()
    out.print(heading())
    rows = []
    with ThreadPoolExecutor(asked.jobs) as threads:
        for row in threads.map(_searched, cases):
            rows.append(row)
            out.print(line(row), soft_wrap=True)
            if asked.story or not row.is_well:
                out.print(*(f"    {each}" for each in row.story), sep="\n", soft_wrap=True)
    seconds = time.monotonic() - began_at
    mutants = sum(case.breaks is not None for case in cases)
    out.print(f"{len(rows)} searches, {mutants} of them of mutants, in {seconds:.0f} s")
    if asked.record:
        write_section("model", markdown(rows, version=version(), seconds=seconds), page=PAGE)
    return 0 if all(row.is_well for row in rows) else 1


def _asked(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make model", description=__doc__)
    names = [case.name for case in CASES]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--story", action="store_true", help="tell what happens on each path found")
    parser.add_argument("--jobs", type=int, default=2, help="searches at the same time")
    parser.add_argument("--record", action="store_true", help=f"write the table into {PAGE}")
    return parser.parse_args(words)


def _searched(case: Case) -> Row:
    with tempfile.TemporaryDirectory(prefix="dibs-model-") as folder:
        try:
            return Row(case, search(case, Path(folder)))
        except SpinError as error:
            return Row(case, error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
