"""A few hundred real texts that every machine with Python has: the docstrings of the standard library.

They are written as the files that a pipeline reads, with real embeddings on request.
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
    """One text. ``id`` is its place in the list; ``title`` names what it describes, such as ``zipfile.ZipFile.extract``."""

    id: int
    title: str
    section: str
    text: str
    vector: tuple[float, ...] = ()


def documents(most: int = 400, modules: Sequence[str] = MODULES) -> list[Document]:
    """The first sentences of ``most`` classes and functions, spread over the modules; the same ones every time."""
    by_module = [list(_of_module(name)) for name in modules]
    taken: list[tuple[str, str, str]] = []
    for turn in range(max(map(len, by_module))):
        taken += [texts[turn] for texts in by_module if turn < len(texts)]
    return [Document(number, *text) for number, text in enumerate(taken[:most])]


def embedded(texts: Sequence[Document]) -> list[Document]:
    """The same with their vectors from all-MiniLM-L6-v2: see ``embedding.py``."""
    from dev.embedding import embed

    vectors = embed(f"{document.title}: {document.text}" for document in texts)
    return [replace(document, vector=tuple(vector.tolist())) for document, vector in zip(texts, vectors, strict=True)]


def write_json_lines(path: Path, texts: Sequence[Document]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(asdict(document))}\n" for document in texts))
    return path


def write_parquet(path: Path, texts: Sequence[Document]) -> Path:
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist([asdict(document) for document in texts]), path)
    return path


def _of_module(name: str) -> Iterator[tuple[str, str, str]]:
    module = import_module(name)
    seen: set[str] = set()
    for what, text in _described(module):
        if text not in seen:
            seen.add(text)
            yield f"{name}.{what}", name, text


def _described(module: object) -> Iterator[tuple[str, str]]:
    for name, member in _public(module):
        if (inspect.isclass(member) or inspect.isroutine(member)) and (text := _first_paragraph(member)):
            yield name, text
    for name, member in _public(module):
        if inspect.isclass(member):
            for method, function in _public(member, own=True):
                if inspect.isroutine(function) and (text := _first_paragraph(function)):
                    yield f"{name}.{method}", text


def _public(holder: object, own: bool = False) -> list[tuple[str, object]]:
    listed = () if own else getattr(holder, "__all__", ())
    return [(name, value) for name, value in vars(holder).items() if (name in listed if listed else not name.startswith("_"))]


def _first_paragraph(described: object) -> str:
    paragraph = " ".join((inspect.getdoc(described) or "").strip().partition("\n\n")[0].split())
    # Not the signatures that functions written in C begin with.
    readable = paragraph[:1].isalpha() and len(paragraph.split()) >= FEWEST_WORDS and "->" not in paragraph
    return paragraph[:LONGEST_TEXT] if readable else ""
