"""Every link in the pages to another file, or to a heading, leads there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
_HEADING = re.compile(r"^#+ +(.+?) *$", re.M)
_PAGES = [*PAGES, ROOT / "CHANGELOG.md"]


def anchors(page: Path) -> set[str]:
    """The headings as GitHub links to them."""
    count: Counter[str] = Counter()
    made = set()
    for heading in _HEADING.findall(_FENCED.sub("", page.read_text())):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        made.add(f"{anchor}-{count[anchor]}" if count[anchor] else anchor)
        count[anchor] += 1
    return made


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in _LINK.findall(_FENCED.sub("", page.read_text())):
        if re.match(r"\w+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_the_index_names_every_page() -> None:
    index = set(_LINK.findall((ROOT / "docs" / "README.md").read_text()))
    assert {page.name for page in ROOT.glob("docs/*.md")} - {"README.md"} == {link for link in index if "/" not in link}


def test_every_picture_is_shown_and_none_is_large() -> None:
    shown = {Path(link).name for page in _PAGES for link in _LINK.findall(page.read_text()) if "pictures/" in link}
    pictures = list(ROOT.glob("docs/pictures/*"))
    assert {picture.name for picture in pictures} == shown
    assert [picture.name for picture in pictures if picture.stat().st_size > 120_000] == []
