"""What a sync of documents has seen, in a temporary file of SQLite: any number of rows takes the memory of its cache."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import compress
from types import TracebackType
from typing import Any, Self

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA cache_size = -16000;
CREATE TABLE chunks (key PRIMARY KEY, content BLOB) WITHOUT ROWID;
CREATE TABLE documents (
    document PRIMARY KEY, written INTEGER, skipped INTEGER, there INTEGER, incomplete INTEGER
) WITHOUT ROWID;
CREATE TABLE old (document, key, PRIMARY KEY (document, key)) WITHOUT ROWID;
BEGIN;
"""
_ADD = """
INSERT INTO documents VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET written = written + excluded.written, skipped = skipped + excluded.skipped,
    there = max(there, excluded.there), incomplete = max(incomplete, excluded.incomplete)
"""
_OUTCOMES = """
WITH deleted AS (SELECT document, count(*) AS rows FROM old GROUP BY document),
outcomes AS (
    SELECT document, written, skipped, coalesce(rows, 0) AS deleted,
        CASE WHEN incomplete THEN 'incomplete' WHEN written = 0 AND rows IS NULL THEN 'unchanged'
            WHEN there = 0 AND rows IS NULL THEN 'added' ELSE 'replaced' END AS state
    FROM documents LEFT JOIN deleted USING (document)
    UNION ALL
    SELECT document, 0, 0, rows, 'pruned' FROM deleted WHERE document NOT IN (SELECT document FROM documents)
)
SELECT document, state, written, skipped, deleted FROM outcomes ORDER BY state = 'unchanged', document
"""
_NAMES = ("document", "state", "written", "skipped", "deleted")
STATES = ("added", "replaced", "unchanged", "pruned", "incomplete")


class Found(Enum):
    """What the ledger has of a chunk of the source already."""

    NOTHING = 0
    THE_SAME = 1
    ANOTHER = 2
    """Another content under its key."""


class Ledger:
    """The chunks of the source, its documents, and the rows of the collection that are to go.

    Used by one thread after the other, never by two at once.
    """

    def __init__(self) -> None:
        # Without a name it is a temporary file, which SQLite removes.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._database.close()

    def add(self, key: Any, document: Any, content: Any) -> Found:
        """A chunk of the source, by its key, its document and the hash of its content."""
        digest = hashlib.blake2b(repr((document, content)).encode(), digest_size=16).digest()
        if self._database.execute("INSERT OR IGNORE INTO chunks VALUES (?, ?)", (key, digest)).rowcount:
            return Found.NOTHING
        (earlier,) = self._database.execute("SELECT content FROM chunks WHERE key = ?", (key,)).fetchone()
        return Found.THE_SAME if earlier == digest else Found.ANOTHER

    def count(self, written: Iterable[Any] = (), skipped: Iterable[Any] = (), there: Iterable[Any] = ()) -> None:
        """The documents of chunks that are written, of those that are not, and those of which the collection has rows."""
        counted = Counter(written), Counter(skipped), dict.fromkeys(there, 1)
        documents = dict.fromkeys(document for count in counted for document in count)
        self._database.executemany(_ADD, ((it, *(count.get(it, 0) for count in counted), 0) for it in documents))

    def is_incomplete(self, document: Any) -> None:
        """A row of the document is bad: what the collection has of it stays."""
        self._database.execute(_ADD, (document, 0, 0, 0, 1))

    def documents(self, most: int) -> Iterator[dict[Any, int]]:
        """The documents of the source that are complete, with the number of their chunks; ``most`` at a time."""
        complete = "SELECT document, written + skipped FROM documents WHERE NOT incomplete ORDER BY document"
        yield from map(dict, self._pages(complete, most))

    def holds(self, keys: Sequence[Any], documents: Sequence[Any]) -> list[Any]:
        """Rows that the collection has of documents of the source: those of which the source has no chunk are to go.

        Returns the documents of the others, one for each row.
        """
        are_chunks = [self._finds("SELECT 1 FROM chunks WHERE key = ?", key) for key in keys]
        old = [(document, key) for key, document, it_is in zip(keys, documents, are_chunks, strict=True) if not it_is]
        self._database.executemany("INSERT INTO old VALUES (?, ?)", old)
        return list(compress(documents, are_chunks))

    def left_source(self, keys: Sequence[Any], documents: Sequence[Any]) -> int:
        """Of these rows of the collection, those of documents that the source does not have are to go. Returns their number."""
        left = [
            (document, key)
            for key, document in zip(keys, documents, strict=True)
            if document not in (None, "") and not self._finds("SELECT 1 FROM documents WHERE document = ?", document)
        ]
        self._database.executemany("INSERT INTO old VALUES (?, ?)", left)
        return len(left)

    @property
    def has_documents(self) -> bool:
        return self._finds("SELECT 1 FROM documents LIMIT 1")

    def old(self, most: int) -> Iterator[list[Any]]:
        """The keys of the rows that are to go, document after document, ``most`` at a time."""
        for rows in self._pages("SELECT key FROM old ORDER BY document, key", most):
            yield [key for (key,) in rows]

    def outcomes(self, most: int = 1_000) -> Iterator[list[dict[str, Any]]]:
        """What became of each document, those that are unchanged last."""
        for rows in self._pages(_OUTCOMES, most):
            yield [dict(zip(_NAMES, row, strict=True)) for row in rows]

    def _finds(self, query: str, *value: Any) -> bool:
        return self._database.execute(query, value).fetchone() is not None

    def _pages(self, query: str, most: int) -> Iterator[list[Any]]:
        cursor = self._database.execute(query)
        while rows := cursor.fetchmany(most):
            yield rows
