"""The pairs of tasks that race, what they find, and what each result tells of the server.

The names in a round begin with a prefix of its own, for which ``PREFIX`` stands in arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_milvus.operators import milvus as operators
from dev.faults.tasks import NEW_ROWS
from dev.roles import INDEX, ROWS, SCHEMA

PREFIX = "<prefix>"
WINDOW = "the window"
"""In arguments: the result of the task that has opened one."""

Results = tuple[Any, ...]
"""Those of the two tasks, after two successes."""


@dataclass(frozen=True, slots=True)
class Racer:
    """A task. ``tells`` are the parts of its result that have to fit an order of the two, in one way or another."""

    kind: type
    arguments: Mapping[str, Any]
    tells: Callable[[Any], Sequence[Any]]

    @property
    def name(self) -> str:
        return f"{self.kind.__name__}, {self.arguments}"


@dataclass(frozen=True, slots=True)
class Found:
    """What the two find: collections with an index and rows, those ``in_memory``, an ``alias`` and the collection behind it.

    ``opens``: a collection that a window has loaded.
    """

    collections: tuple[str, ...] = ("docs",)
    in_memory: tuple[str, ...] = ()
    alias: tuple[str, str] | None = None
    opens: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tasks that race, in turn from each of ``finds``.

    ``gap``: after two successes that fit no order, whether this is what docs/architecture.md says cannot be closed.
    ``loads``: rows are looked at in the end, for which what is left is loaded.
    """

    name: str
    racers: tuple[Racer, Racer]
    finds: tuple[Found, ...]
    gap: Callable[[Results], bool] = lambda results: False
    loads: bool = False


def _part(*keys: str) -> Callable[[Any], Sequence[Any]]:
    return lambda result: [{key: result[key] for key in keys}]


def _nothing(result: Any) -> Sequence[Any]:
    return [{}]


def _released_by_reclaim(result: Any) -> Sequence[Any]:
    """What was loaded again may have been released before somebody loaded it, or has not been released in the end."""
    released, reloaded = (sorted(entry["collection"] for entry in result.get(part, ())) for part in ("released", "reloaded"))
    return [{"released": released}, {"released": sorted(released + reloaded)}]


_IN_MEMORY = Found(in_memory=("docs",))
_RECLAIM = Racer(
    operators.MilvusReclaimMemoryOperator, {"collections": PREFIX + "docs", "dry_run": False}, _released_by_reclaim
)
_DOCS = {"collection_name": PREFIX + "docs"}
_PARTITIONS = {**_DOCS, "if_exists": "skip"}
_NEW = {**_DOCS, "schema": SCHEMA, "indexes": [INDEX]}


def _swap_to(target: str) -> Racer:
    return Racer(
        operators.MilvusSwapAliasOperator,
        {"alias": PREFIX + "live", "collection_name": PREFIX + target, "require_loaded": False},
        _part("old", "changed"),
    )


PAIRS = (
    Pair(
        "release against load",
        (
            Racer(operators.MilvusReleaseCollectionOperator, _DOCS, _nothing),
            Racer(operators.MilvusLoadCollectionOperator, _DOCS, _part("state")),
        ),
        (_IN_MEMORY, Found()),
    ),
    Pair(
        "reclaim against a window that opens",
        (_RECLAIM, Racer(operators.MilvusWindowLoadOperator, _DOCS, _part("state"))),
        (_IN_MEMORY,),
    ),
    Pair(
        "reclaim against a window that closes",
        (_RECLAIM, Racer(operators.MilvusWindowReleaseOperator, {"window": WINDOW}, _part("released"))),
        (Found(opens="docs"),),
        gap=lambda results: bool(results[0]["released"]),
    ),
    Pair(
        "two swaps of one alias",
        (_swap_to("docs_2"), _swap_to("docs_3")),
        (Found(("docs", "docs_2", "docs_3"), alias=("live", "docs")),),
        gap=lambda results: results[0]["old"] == results[1]["old"],
    ),
    Pair(
        "drop against create, if_exists='replace'",
        (
            Racer(operators.MilvusDropCollectionOperator, _DOCS, _part("dropped")),
            Racer(operators.MilvusCreateCollectionOperator, {**_NEW, "if_exists": "replace"}, _part("created", "replaced")),
        ),
        (Found(),),
        gap=lambda results: results[0]["dropped"] and results[1]["replaced"],
    ),
    Pair(
        "drop against create of what is new",
        (
            Racer(operators.MilvusDropCollectionOperator, {**_DOCS, "if_missing": "skip"}, _part("dropped")),
            Racer(operators.MilvusCreateCollectionOperator, _NEW, _part("created", "replaced")),
        ),
        (Found(()),),
    ),
    Pair(
        "ingest against replace",
        (
            Racer(operators.MilvusUpsertOperator, {**_DOCS, "rows": [*ROWS, *NEW_ROWS], "batch_rows": 10}, _part("written")),
            Racer(operators.MilvusCreateCollectionOperator, {**_NEW, "if_exists": "replace"}, _part("created", "replaced")),
        ),
        (Found(),),
        loads=True,
    ),
    Pair(
        "two that create a partition",
        (
            Racer(operators.MilvusCreatePartitionOperator, {**_PARTITIONS, "partition_names": ["p1"]}, _part("created")),
            Racer(operators.MilvusCreatePartitionOperator, {**_PARTITIONS, "partition_names": ["p1", "p2"]}, _part("created")),
        ),
        (Found(),),
        gap=lambda results: all("p1" in result["created"] for result in results),
    ),
    Pair(
        "rename against swap",
        (
            Racer(operators.MilvusRenameCollectionOperator, {**_DOCS, "new_name": PREFIX + "renamed"}, _nothing),
            _swap_to("docs_2"),
        ),
        (Found(("docs", "docs_2"), alias=("live", "docs")),),
    ),
)
