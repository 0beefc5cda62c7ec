"""A few hundred real texts that every machine with Python has: what the standard library says of its own functions.

Written as the files that a pipeline reads, with real embeddings where they are asked for.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path

MODULES = (
    "argparse", "asyncio", "base64", "bisect", "bz2", "calendar", "collections", "configparser", "contextlib", "copy",
    "csv", "datetime", "decimal", "difflib", "email.message", "fnmatch", "fractions", "functools", "getpass", "glob",
    "gzip", "hashlib", "heapq", "hmac", "html", "http.client", "imaplib", "inspect", "io", "ipaddress", "itertools",
    "json", "locale", "logging", "lzma", "mimetypes", "os", "os.path", "pathlib", "pickle", "platform", "queue",
    "random", "re", "sched", "secrets", "shelve", "shlex", "shutil", "signal", "smtplib", "socket", "sqlite3", "ssl",
    "statistics", "string", "struct", "subprocess", "tarfile", "tempfile", "textwrap", "threading", "timeit",
    "tokenize", "unicodedata", "urllib.parse", "urllib.request", "uuid", "wave", "weakref", "webbrowser",
    "xml.etree.ElementTree", "zipfile", "zlib",
)  # fmt: skip
FEWEST_WORDS = 6
LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Document:
    """One text. ``id`` is its place in the list, ``title`` what it is about, such as ``zipfile.ZipFile.extract``."""

    id: int
    title: str
    section: str
    text: str
    vector: tuple[float, ...] = ()


def documents(most: int = 400, modules: Sequence[str] = MODULES) -> list[Document]:
    """The first sentences of ``most`` classes and functions, spread over the modules; the same ones each time."""
    by_module = [list(_of_module(name)) for name in modules]
    taken: list[tuple[str, str, str]] = []
    for turn in range(max(map(len, by_module))):
        taken += [each[turn] for each in by_module if turn < len(each)]
    return [Document(number, *each) for number, each in enumerate(taken[:most])]


def embedded(wanted: Sequence[Document]) -> list[Document]:
    """The same with what all-MiniLM-L6-v2 makes of them: see ``embedding.py``."""
    from dev.embedding import embed

    vectors = embed(f"{each.title}: {each.text}" for each in wanted)
    return [replace(each, vector=tuple(vector.tolist())) for each, vector in zip(wanted, vectors, strict=True)]


def write_json_lines(path: Path, wanted: Sequence[Document]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(asdict(each))}\n" for each in wanted))
    return path


def write_parquet(path: Path, wanted: Sequence[Document]) -> Path:
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist([asdict(each) for each in wanted]), path)
    return path


def _of_module(name: str) -> Iterator[tuple[str, str, str]]:
    module = import_module(name)
    seen: set[str] = set()
    for what, text in _described(module):
        if text not in seen:
            seen.add(text)
            yield f"{name}.{what}", name, text


def _described(module: object) -> Iterator[tuple[str, str]]:
    for name, found in _public(module):
        if (inspect.isclass(found) or inspect.isroutine(found)) and (text := _first_paragraph(found)):
            yield name, text
    for name, found in _public(module):
        if inspect.isclass(found):
            for method, each in _public(found, own=True):
                if inspect.isroutine(each) and (text := _first_paragraph(each)):
                    yield f"{name}.{method}", text


def _public(holder: object, own: bool = False) -> list[tuple[str, object]]:
    said = () if own else getattr(holder, "__all__", ())
    return [(name, each) for name, each in vars(holder).items() if (name in said if said else not name.startswith("_"))]


def _first_paragraph(found: object) -> str:
    paragraph = " ".join((inspect.getdoc(found) or "").strip().partition("\n\n")[0].split())
    # Not the signatures that functions written in C begin with.
    readable = paragraph[:1].isalpha() and len(paragraph.split()) >= FEWEST_WORDS and "->" not in paragraph
    return paragraph[:LONGEST_TEXT] if readable else ""
