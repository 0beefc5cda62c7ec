"""The pages that people read, and the blocks of code in them and in the docstrings of what is public."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.public import DOORS, through

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
PUBLIC = {name: kind for door in DOORS for name, kind in through(door).items()}

_BLOCK = re.compile(r"(?:^<!-- (?P<mark>.*) -->\n)?^```(?P<language>python|sh|diff)\n(?P<code>(?s:.*?))^```$", re.M)
_EXAMPLE = re.compile(r"^( *)\.\. code-block:: python\n\s*\n((?:\1 +.*\n|\s*\n)+)", re.M)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code; ``mark`` is what the comment on the line before says: why it is not run here, what it needs, or that it
    belongs into a file."""

    name: str
    language: str
    code: str
    mark: str = ""

    def __str__(self) -> str:
        return self.name


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start("code"))
        yield Block(f"{page.relative_to(ROOT)}:{line}", block["language"], block["code"], block["mark"] or "")


def examples_of(kind: type) -> Iterator[Block]:
    """The examples in a class's own docstring."""
    for number, example in enumerate(_EXAMPLE.finditer(inspect.cleandoc(vars(kind).get("__doc__") or "") + "\n"), 1):
        yield Block(f"{kind.__name__}:{number}", "python", textwrap.dedent(example[2]))


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
EXAMPLES = [example for kind in PUBLIC.values() for example in examples_of(kind)]
