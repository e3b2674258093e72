"""The documents: what is made from the code is current, and no link leads nowhere."""

from pathlib import Path

import pytest

from docs._build.references import REFERENCES
from docs._build.site import check_links, render

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", REFERENCES)
def test_a_page_that_is_made_from_the_code_is_current(name: str) -> None:
    assert (DOCS / "reference" / name).read_text(encoding="utf-8") == REFERENCES[name](), (
        "run `make docs`"
    )


def test_every_page_is_rendered_and_leads_somewhere(tmp_path: Path) -> None:
    written = render(DOCS, tmp_path / "site")

    assert len(written) == len(list(DOCS.rglob("*.md")))
    for page in written:
        assert "<h1" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("link", ["nowhere.md", "b.md#nowhere", "#nowhere"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, link: str) -> None:
    pages = {tmp_path / "a.md": f"# A\n[x]({link})\n", tmp_path / "b.md": "# B\n"}
    for page, text in pages.items():
        page.write_text(text)

    with pytest.raises(ValueError, match=r"a\.md: "):
        check_links(pages)


def test_a_link_to_a_page_or_a_heading_is_fine(tmp_path: Path) -> None:
    pages = {tmp_path / "a.md": "# A `b` c!\n[x](b.md) [y](b.md#b-1) [z](#a-b-c)\n"}
    pages[tmp_path / "b.md"] = "# B\n## B 1\n"
    for page, text in pages.items():
        page.write_text(text)

    check_links(pages)
