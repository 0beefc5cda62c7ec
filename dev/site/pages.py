"""The pages of the repository, arranged as a site: where each goes, and its links rewritten to lead to the same there.

README.md is the first page. The groups of the menu, and their order, are those of docs/README.md.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from dev.site.reference import REFERENCE, reference_pages

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = "example_dags"
PLACES = {
    "README.md": "index.md",
    "docs/README.md": "pages.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "reporting.md",
    EXAMPLES: "examples/index.md",
}
"""Where a page of the repository goes, if it is not one of docs/, which keep their names."""
_LINK = re.compile(r"(?P<text>\[(?:[^\[\]]|\[[^\[\]]*\])*\])\((?P<target>[^)\s]+)\)")
_FENCED = re.compile(r"(^```.*?^```$)", re.M | re.S)
_GROUP = re.compile(r"^## (.+)\n\n((?:(?!## ).*\n)+)", re.M)
_ENTRY = re.compile(r"^- \[.+?\]\((\w[\w-]*)\.md\)", re.M)


def arrange(folder: Path) -> None:
    """Write the source of the site into ``folder``, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder)
    (folder / "README.md").unlink()
    for source in sources():
        text = (ROOT / source).read_text()
        place = folder / place_of(source)
        place.write_text(with_links_of(text, source, folder) + (menu() if source == "README.md" else ""))
    pages = {**reference_pages(), **dict(example_pages())}
    for name, text in pages.items():
        page = folder / name
        page.parent.mkdir(exist_ok=True)
        page.write_text(text)


def sources() -> list[str]:
    """The pages that people write, by their path in the repository."""
    own = [source for source in PLACES if source.endswith(".md") and (ROOT / source).exists()]
    return [*own, *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "README.md")]


def place_of(source: str) -> str | None:
    """Where a file of the repository goes; None: it is not part of the site."""
    folder, _, name = source.partition("/")
    if folder == EXAMPLES and name.endswith(".py"):
        return f"examples/{name.removesuffix('.py')}.md"
    return PLACES.get(source) or (name if folder == "docs" else None)


def with_links_of(text: str, source: str, folder: Path) -> str:
    """The text of a page with links that lead, from its place in the site, to what they lead to from ``source``."""

    def link(match: re.Match[str]) -> str:
        target, hash_mark, anchor = match["target"].partition("#")
        if re.match(r"\w+:", match["target"]) or not target:
            return match[0]
        path = os.path.normpath(Path(source).parent / target)
        place = place_of(path) or _copied(path, folder)
        return f"{match['text']}({place}{hash_mark}{anchor})" if place else match["text"].strip("[]")

    parts = _FENCED.split(text)
    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in parts)


def _copied(path: str, folder: Path) -> str | None:
    """A file that is no page is downloaded; of a folder only the name is shown."""
    if not (ROOT / path).is_file():
        return None
    copy = folder / "files" / path
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / path, copy)
    return f"files/{path}"


def groups() -> dict[str, list[str]]:
    """The pages of docs/ by the headings of docs/README.md."""
    text = (ROOT / "docs" / "README.md").read_text()
    return {heading: _ENTRY.findall(entries) for heading, entries in _GROUP.findall(text)}


def menu() -> str:
    project = [PLACES[source].removesuffix(".md") for source in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
    menus = {
        **groups(),
        "Reference": [f"reference/{name}" for name in REFERENCE],
        "Project": ["pages", "examples/index", *project],
    }
    return "".join(f"\n{_tree(pages, f':caption: {caption}')}" for caption, pages in menus.items())


def example_pages() -> Iterator[tuple[str, str]]:
    """A page for each example DAG: its name, its first line, and the whole file."""
    names = []
    for file in sorted((ROOT / EXAMPLES).glob("*.py")):
        code = file.read_text()
        first = code.removeprefix('"""').partition("\n")[0].removesuffix('"""')
        names.append(file.stem)
        yield f"examples/{file.stem}.md", f"# {file.stem}\n\n{first}\n\n`{EXAMPLES}/{file.name}`:\n\n```python\n{code}```\n"
    heading = "# Examples\n\nEach runs as it stands, and is run by the tests.\n\n"
    yield "examples/index.md", heading + _tree(names, ":maxdepth: 1", hidden=False)


def _tree(pages: list[str], *options: str, hidden: bool = True) -> str:
    lines = ["```{toctree}", *([":hidden:"] if hidden else []), *options, "", *pages, "```", ""]
    return "\n".join(lines)
