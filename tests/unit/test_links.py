"""Links between pages lead to pages and chapters that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "docker/*.md")
    for page in ROOT.glob(pattern)
)
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def links(page: Path) -> list[str]:
    """Targets within the repository."""
    found: list[str] = re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", page.read_text()))
    return [target for target in found if "://" not in target]


def chapters(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings: list[str] = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        name, _, chapter = target.partition("#")
        to = (page.parent / name).resolve() if name else page
        assert to.exists(), target
        assert not chapter or chapter in chapters(to), target


def test_every_page_of_documentation_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        targets = {(page.parent / target.partition("#")[0]).resolve() for target in links(page)}
        ahead += [to for to in targets if to.suffix == ".md" and to not in reached]
    assert {page for page in PAGES if page.parent.name == "docs"} <= reached
