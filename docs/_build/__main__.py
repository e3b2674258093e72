"""`make docs`: write what is made from the code, and render every page.

    python -m docs._build            docs/reference/*.md, and dist/docs/*.html
    python -m docs._build --check    only say whether the pages under docs/reference are current
"""

from __future__ import annotations

import sys
from pathlib import Path

from docs._build.references import REFERENCES
from docs._build.site import render

DOCS = Path(__file__).parents[1]
SITE = DOCS.parent / "dist" / "docs"


def main() -> int:
    """Make them; 1 when `--check` found one that is not what the code says."""
    made = {DOCS / "reference" / name: make() for name, make in REFERENCES.items()}
    if "--check" in sys.argv[1:]:
        stale = [
            path.name
            for path, text in made.items()
            if not path.exists() or path.read_text(encoding="utf-8") != text
        ]
        for name in stale:
            print(f"docs/reference/{name} is not what the code says: run `make docs`")  # noqa: T201
        return 1 if stale else 0
    for path, text in made.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    pages = render(DOCS, SITE)
    print(f"{len(made)} reference pages written; {len(pages)} pages in {SITE}/index.html")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
