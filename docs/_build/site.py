"""Every page as HTML, with one style and no script."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

STYLE = Path(__file__).with_name("style.css")
# The pages in the order in which somebody new reads them; all others follow.
ORDER = (
    "first-steps",
    "writing-handlers",
    "running-executors",
    "executors-in-other-languages",
    "moving",
    "outbox",
    "guarantee",
    "command-line",
    "deploying",
    "operating",
    "metrics",
    "upgrading",
    "restoring",
    "auditing",
    "tracing",
    "performance",
    "architecture",
)


def render(source: Path, target: Path) -> list[Path]:
    """
    Write each Markdown page below `source` as HTML below `target`, which is made anew.

    Raises:
        ValueError: A link leads to a page, or a place in one, that is not there.
    """
    pages = sorted(source.rglob("*.md"), key=_place)
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    check_links(texts)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copy(STYLE, target / "style.css")
    written = []
    for page, text in texts.items():
        path = (target / page.relative_to(source)).with_suffix(".html")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_page(text, page, pages, source), encoding="utf-8")
        written.append(path)
    examples = source / "examples"
    shutil.copytree(examples, target / "examples")
    first = written[0].relative_to(target).as_posix()
    (target / "index.html").write_text(
        f'<!doctype html><meta http-equiv="refresh" content="0; url={first}">', encoding="utf-8"
    )
    return written


def check_links(texts: dict[Path, str]) -> None:
    """
    Refuse links that lead nowhere.

    Raises:
        ValueError: It names each of them.
    """
    anchors = {page: _anchors(text) for page, text in texts.items()}
    broken = []
    for page, text in texts.items():
        for link in _links(text):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and target in anchors and anchor not in anchors[target]):
                broken.append(f"{page.name}: {link}")
    if broken:
        raise ValueError("Links that lead nowhere:\n" + "\n".join(broken))


def title_of(text: str) -> str:
    """The page's first heading."""
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    return found[1] if found else ""


def _links(text: str) -> list[str]:
    found = []
    for token in _inline(_markdown().parse(text)):
        href = token.attrs.get("href") or token.attrs.get("src")
        if isinstance(href, str) and not re.match(r"\w+:", href):
            found.append(href)
    return found


def _inline(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens for child in (token, *_inline(token.children or []))]


def _anchors(text: str) -> set[str]:
    named = set(re.findall(r'<a id="([^"]+)">', text))
    return named | {_anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def _anchor(heading: str) -> str:
    """As the forges make it."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower().replace("`", ""))
    return kept.strip().replace(" ", "-")


def _place(page: Path) -> tuple[int, str]:
    return (ORDER.index(page.stem) if page.stem in ORDER else len(ORDER), page.as_posix())


def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": True}).enable("table")


def _page(text: str, page: Path, pages: list[Path], source: Path) -> str:
    tokens = _markdown().parse(text)
    for opening, inline in zip(tokens, tokens[1:], strict=False):
        if opening.type == "heading_open":
            opening.attrSet("id", _anchor(inline.content))
    for token in _inline(tokens):
        href = token.attrs.get("href")
        if isinstance(href, str) and not re.match(r"\w+:", href):
            token.attrSet("href", re.sub(r"\.md(#|$)", r".html\1", href))
    body = _markdown().renderer.render(tokens, _markdown().options, {})
    up = "../" * (len(page.relative_to(source).parts) - 1)
    entries = "".join(
        f'<li><a href="{up}{each.relative_to(source).with_suffix(".html").as_posix()}"'
        f"{' aria-current=page' if each == page else ''}>"
        f"{html.escape(title_of(each.read_text(encoding='utf-8')))}</a></li>"
        for each in pages
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title_of(text))} · Dibs</title>"
        f'<link rel="stylesheet" href="{up}style.css"></head><body>'
        f"<nav><b>Dibs</b><ul>{entries}</ul></nav><main>{body}</main></body></html>\n"
    )
