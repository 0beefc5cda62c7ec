"""Reading rows in the order of their keys, page by page, so that any number of them takes the memory of a page.

A page is asked for with the filter ``key > last`` and a limit: servers answer with the smallest keys. Rows that are written or
deleted meanwhile are in a later page or not, and none is there twice. Pages are asked for by the collection's name, so the end
is that the name still stands for the same collection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.client.silence import Progress
from airflow_provider_milvus.client.subject import Subject
from airflow_provider_milvus.schema.model import Field
from airflow_provider_milvus.schema.pairs import to_pairs
from airflow_provider_milvus.server.filters import to_literal

PAGE_BYTES = 8 * 2**20
PAGE_ROWS = 10_000
"""A server answers with at most 16,384 rows."""
FIRST_PAGE = 1_000
"""Rows of the first page: their size says how many the next one may have."""
PAGE_TIMEOUT = 60.0
_IN_ORDER = {"iterator": "True", "reduce_stop_for_best": "True"}

Key = int | str


def consistency(level: str) -> dict[str, Any]:
    """How much of what was written before a request sees; the collection's own level where ``level`` is empty."""
    return {"consistency_level": level, "use_default_consistency": False} if level else {"use_default_consistency": True}


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the order of their keys: ``fields`` are ``FieldData`` messages by name, ``size`` is in bytes on the wire."""

    keys: list[Any]
    fields: dict[str, Any]
    size: int

    def only(self, wanted: Collection[str], key: str) -> list[Any]:
        """Its messages, without that of the key, which is always read, where it is not among ``wanted``."""
        return [column for name, column in self.fields.items() if name != key or {key, "*"} & set(wanted)]


@dataclass(frozen=True, slots=True)
class Walk:
    """What to read of a collection: the rows that match ``filter``, in some partitions or all, and their ``fields``."""

    subject: Subject
    key: Field
    fields: Sequence[str] = ()
    filter: str = ""
    partition_names: Sequence[str] = ()
    consistency_level: str = "Bounded"

    def page(self, limit: int, after: Key | None = None) -> Flow[Page]:
        """The first ``limit`` rows, or those after a key."""
        beyond = "" if after is None else f"{self.key.name} > {to_literal(after)}"
        answer = yield Rpc(
            "Query",
            {
                "collection_name": self.subject.name,
                "expr": f"({self.filter}) and {beyond}" if self.filter and beyond else self.filter or beyond,
                "output_fields": list(dict.fromkeys((self.key.name, *self.fields))),
                "partition_names": list(self.partition_names),
                "query_params": to_pairs({"limit": limit, **_IN_ORDER}),
                **consistency(self.consistency_level),
            },
            PAGE_TIMEOUT,
        )
        by_name = {column.field_name: column for column in answer.fields_data}
        if self.key.name not in by_name:
            return Page([], {}, 0)
        scalars = by_name[self.key.name].scalars
        keys = list(scalars.string_data.data if self.key.type == "VARCHAR" else scalars.long_data.data)
        # If a server does not answer with the smallest keys, the walk leaves out rows, or never ends.
        if keys != sorted(set(keys)) or (keys and after is not None and keys[0] <= after):
            raise exceptions.MilvusServerError(
                f"Collection {self.subject.name!r} cannot be read by its keys: the server answers out of order after {after!r}."
            )
        return Page(keys, by_name, answer.ByteSize())

    def rows(
        self, take: Callable[[Page], object], *, page_rows: int = PAGE_ROWS, most: int | None = None, after: Key | None = None
    ) -> Flow[int]:
        """Call ``take`` with every page; return the number of rows. The rest is as in :class:`Pages`."""
        pages, progress = Pages(self, page_rows, most, after), Progress()
        while (page := (yield from pages.next())) is not None:
            take(page)
            progress.tell("Read %s rows of collection %r so far.", f"{pages.count:,}", self.subject.name)
            # Not beside the next one.
            del page
        return pages.count


@dataclass(slots=True)
class Pages:
    """The pages of a walk, of at most ``page_rows`` and of some ``PAGE_BYTES``.

    :param most: end after this number of rows.
    :param after: the key of the last row so far; at first, the key to begin after.
    """

    walk: Walk
    page_rows: int = PAGE_ROWS
    most: int | None = None
    after: Key | None = None
    count: int = 0
    at_end: bool = False
    _limit: int = 0

    def next(self) -> Flow[Page | None]:
        """The next page; ``None`` after the last.

        :raises MilvusReplacedError: at the end: the collection was dropped meanwhile. Pages may be of another one.
        """
        limit = self._limit or min(self.page_rows, FIRST_PAGE)
        wanted = limit if self.most is None else min(limit, self.most - self.count)
        page = (yield from self.walk.page(wanted, self.after)) if wanted > 0 else Page([], {}, 0)
        if not page.keys:
            done = f"{self.count:,} rows were read before, perhaps of both." if self.count else None
            yield from self.walk.subject.check(done)
            self.at_end = True
            return None
        self.count += len(page.keys)
        self.after = page.keys[-1]
        self._limit = max(1, min(self.page_rows, PAGE_BYTES * len(page.keys) // max(1, page.size)))
        return page
