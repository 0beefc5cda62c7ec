"""The tasks that change something, each with what it finds and what it does. Several that belong together are one scenario."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_milvus.operators import milvus as operators
from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
from dev.meanwhile.play import Played, Stage
from dev.meanwhile.world import DATABASE, DIM, DOCS, IN_DATABASE, INDEX, KEYS, OTHER, THIRD, fill, schema
from dev.servers.dialects import DIALECTS, LITE_LIKE, Dialect
from dev.servers.scripted import LOADED, ScriptedMilvus, loading

import_pymilvus()
from pymilvus.grpc_gen import milvus_pb2  # noqa: E402

ON_DIALECTS: dict[str, Dialect] = {
    "2.3.5": DIALECTS["2.3.5"],
    "2.6.16": DIALECTS["2.6.16"],
    "Lite-like": LITE_LIKE,
    "3.0.0": DIALECTS["3.0.0"],
}
"""3.0.0 is for snapshots only, which are played where pymilvus knows them."""
SERVERS = ("2.3.5", "2.6.16")
"""Those that have partitions, windows and jobs."""
LIVE = "live"
ROWS = [{"id": key, "vector": [0.5] * DIM} for key in range(101, 106)]
MOST_COLLECTIONS = {"database.max.collections": 100}
WATCHED = {"poll_interval": 0.05}


@dataclass(frozen=True, slots=True)
class Scenario:
    """``perform`` runs the tasks on a stage and returns the last result.

    ``finds`` are the arguments of :func:`fill`. Somebody acts on ``subject``. ``takes_away``: what the task means to take, such
    as the collection's memory, so that what somebody made meanwhile could go with it. ``may_leave``: the task takes a load of
    its own back, where nobody has come to need it. ``ends_with``: the error that it ends with when nobody
    acts, if that is what it shows. ``must``: what else is wrong, in words; empty if nothing is.
    """

    operator: str
    perform: Callable[[Stage], Any]
    words: str = ""
    finds: Mapping[str, Any] = field(default_factory=dict)
    subject: str = DOCS
    takes_away: bool = False
    may_leave: bool = False
    dialects: tuple[str, ...] = ("2.3.5", "2.6.16", "Lite-like")
    ends_with: str = ""
    must: Callable[[Played], str] = lambda played: ""

    @property
    def name(self) -> str:
        return f"{self.operator}{self.words and f', {self.words}'}"

    @property
    def alias(self) -> str:
        return str(self.finds.get("alias", ""))

    def prepare(self, server: ScriptedMilvus) -> None:
        fill(server, **self.finds)


def one(
    kind: type, *, words: str = "", finds: Mapping[str, Any] | None = None, takes_away: bool = False, **more: Any
) -> Scenario:
    """A single task, on the collection ``docs`` unless its arguments say otherwise."""
    about = {key: more.pop(key) for key in ("subject", "dialects", "may_leave", "ends_with") if key in more}
    arguments = {"collection_name": DOCS, **more}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    return Scenario(
        kind.__name__, lambda stage: stage.run(kind, **arguments), words, finds or {}, takes_away=takes_away, **about
    )


IN_MEMORY = {"in_memory": (DOCS,)}
ALL_IN_MEMORY = {"in_memory": (DOCS, OTHER, THIRD)}
STUCK = {"on_load": (loading(40),)}
SLOW = {"on_load": (loading(10), loading(50), LOADED)}
LATE_TIMEOUT = 3.0
"""Seconds for a task that does not end by itself: on a busy machine, too, its load is submitted within them."""
LATE = {"timeout": LATE_TIMEOUT, "on_timeout": "release"}
POLLED = {"poll_interval": 0.2}


def _window(stage: Stage, **arguments: Any) -> Any:
    window = stage.run(operators.MilvusWindowLoadOperator, collection_name=DOCS, **WATCHED, **arguments)
    stage.pause()
    return stage.run(operators.MilvusWindowReleaseOperator, window=window)


def _approved(stage: Stage) -> Any:
    plan = stage.run(operators.MilvusReclaimMemoryOperator, collections="docs*", dry_run=True)["plan"]
    stage.pause()
    return stage.run(operators.MilvusReclaimMemoryOperator, plan=plan)


def _reclaimed_and_reloaded(stage: Stage) -> Any:
    reclaimed = stage.run(operators.MilvusReclaimMemoryOperator, collections="docs*")
    stage.pause()
    return stage.run(operators.MilvusRestoreLoadOperator, restore_set=reclaimed, **WATCHED)


def _killed(stage: Stage, state: str) -> Any:
    return stage.run(
        operators.MilvusLoadCollectionOperator,
        killed=state,
        collection_name=DOCS,
        deferrable=True,
        release_on_kill=True,
        **WATCHED,
    )


def _stays_if_taken_over(played: Played) -> str:
    released = any(change.rpc.startswith("Release") for change in played.carried_out)
    return "the load was taken back, and another triggerer goes on with it" if released else ""


def _swap(words: str, **more: Any) -> Scenario:
    finds = {"alias": LIVE, **ALL_IN_MEMORY, **more.pop("finds", {})}
    arguments = {"alias": LIVE, "collection_name": OTHER, **more}
    return one(operators.MilvusSwapAliasOperator, words=words, finds=finds, **WATCHED, **arguments)


SCENARIOS = (
    one(operators.MilvusReleaseCollectionOperator, finds=IN_MEMORY, takes_away=True),
    one(
        operators.MilvusReleaseCollectionOperator,
        words="through an alias",
        finds={**IN_MEMORY, "alias": LIVE},
        takes_away=True,
        collection_name=LIVE,
        allow_alias=True,
    ),
    one(
        operators.MilvusReleasePartitionsOperator,
        finds=IN_MEMORY,
        takes_away=True,
        partition_names=["_default"],
        dialects=SERVERS,
    ),
    one(operators.MilvusLoadCollectionOperator, **WATCHED),
    one(operators.MilvusLoadCollectionOperator, words="slow", finds=SLOW, **WATCHED),
    one(
        operators.MilvusLoadCollectionOperator,
        words="through an alias",
        finds={"alias": LIVE},
        **{**WATCHED, "collection_name": LIVE},
    ),
    one(operators.MilvusLoadCollectionOperator, words="deferred", finds=SLOW, deferrable=True, **WATCHED),
    one(
        operators.MilvusLoadCollectionOperator,
        words='late, on_timeout="release"',
        finds=STUCK,
        takes_away=True,
        may_leave=True,
        ends_with="MilvusTimeoutError",
        **LATE,
        **WATCHED,
    ),
    one(
        operators.MilvusLoadCollectionOperator,
        words='deferred and late, on_timeout="release"',
        finds=STUCK,
        takes_away=True,
        deferrable=True,
        may_leave=True,
        ends_with="MilvusTimeoutError",
        **LATE,
        **WATCHED,
    ),
    Scenario(
        "MilvusLoadCollectionOperator",
        lambda stage: _killed(stage, "failed"),
        "deferred and killed, release_on_kill",
        STUCK,
        takes_away=True,
        may_leave=True,
    ),
    Scenario(
        "MilvusLoadCollectionOperator",
        lambda stage: _killed(stage, "deferred"),
        "deferred and taken over by another triggerer, release_on_kill",
        STUCK,
        must=_stays_if_taken_over,
    ),
    one(operators.MilvusLoadPartitionsOperator, partition_names=["_default"], dialects=SERVERS, **WATCHED),
    one(operators.MilvusRefreshLoadOperator, finds=IN_MEMORY, dialects=SERVERS, **WATCHED),
    Scenario("MilvusWindowLoadOperator", _window, "and MilvusWindowReleaseOperator", takes_away=True, may_leave=True),
    Scenario(
        "MilvusWindowLoadOperator",
        lambda stage: _window(stage, deferrable=True),
        "deferred, and MilvusWindowReleaseOperator",
        SLOW,
        takes_away=True,
        may_leave=True,
    ),
    Scenario(
        "MilvusWindowLoadOperator",
        lambda stage: stage.run(
            operators.MilvusWindowLoadOperator, collection_name=DOCS, **{**WATCHED, "timeout": LATE_TIMEOUT}
        ),
        "late, given up",
        STUCK,
        takes_away=True,
        ends_with="MilvusTimeoutError",
        may_leave=True,
    ),
    one(operators.MilvusDropCollectionOperator, takes_away=True),
    one(operators.MilvusDropCollectionOperator, words="in memory", finds=IN_MEMORY, takes_away=True),
    one(operators.MilvusCreatePartitionOperator, partition_names=["new"]),
    one(operators.MilvusDropPartitionOperator, finds={"partition": "p1"}, takes_away=True, partition_names=["p1"]),
    one(
        operators.MilvusDropPartitionOperator,
        words="release=True",
        finds={"partition": "p1", **IN_MEMORY},
        takes_away=True,
        partition_names=["p1"],
        release=True,
        dialects=SERVERS,
    ),
    one(operators.MilvusRenameCollectionOperator, new_name="docs_renamed"),
    one(
        operators.MilvusRenameCollectionOperator, words="acts on the new name", new_name="docs_renamed", subject="docs_renamed"
    ),
    one(
        operators.MilvusDropAliasOperator,
        finds={"alias": LIVE},
        takes_away=True,
        collection_name=None,
        alias=LIVE,
    ),
    one(
        operators.MilvusCreateCollectionOperator,
        words="new",
        collection_name="new",
        schema=schema(),
        indexes=[INDEX],
        subject="new",
    ),
    one(
        operators.MilvusCreateCollectionOperator,
        words='if_exists="check"',
        schema=schema(),
        indexes=[INDEX],
        if_exists="check",
        finds={"indexed": False},
    ),
    one(
        operators.MilvusCreateCollectionOperator,
        words='if_exists="replace"',
        takes_away=True,
        schema=schema(),
        indexes=[INDEX],
        if_exists="replace",
    ),
    one(operators.MilvusTruncateCollectionOperator, takes_away=True, confirm=DOCS, dialects=("2.6.16", "Lite-like")),
    one(
        operators.MilvusTruncateCollectionOperator,
        words="in memory",
        finds=IN_MEMORY,
        takes_away=True,
        confirm=DOCS,
        dialects=("2.6.16", "Lite-like"),
    ),
    one(
        operators.MilvusSwapAliasOperator,
        words="a new alias",
        finds=ALL_IN_MEMORY,
        alias=LIVE,
        collection_name=OTHER,
        subject=OTHER,
    ),
    _swap("an alias that is there"),
    _swap("an alias that is there, acts on the new collection", subject=OTHER),
    _swap("expected_old", expected_old=DOCS),
    _swap('then="release"', then="release", takes_away=True),
    _swap('then="drop"', then="drop", takes_away=True),
    _swap('deferred for a grace period, then="release"', then="release", takes_away=True, grace_period=0.2, deferrable=True),
    _swap('deferred for a grace period, then="drop"', then="drop", takes_away=True, grace_period=0.2, deferrable=True),
    one(operators.MilvusCreateIndexOperator, finds={"indexed": False}, **INDEX, **WATCHED),
    one(operators.MilvusDropIndexOperator, takes_away=True, field_name="vector"),
    one(operators.MilvusDeleteOperator, words="by ids", finds=IN_MEMORY, takes_away=True, ids=[1, 2, 901]),
    one(operators.MilvusDeleteOperator, words="by ids, not in memory", takes_away=True, ids=[1, 2, 901]),
    one(
        operators.MilvusDeleteOperator,
        words="by a filter",
        finds=IN_MEMORY,
        takes_away=True,
        filter="id in {ids}",
        filter_params={"ids": [1, 2, 901]},
    ),
    one(operators.MilvusInsertOperator, finds=IN_MEMORY, rows=ROWS, batch_rows=2, max_parallel=1),
    one(
        operators.MilvusInsertOperator,
        words="auto_id",
        finds={**IN_MEMORY, "auto_id": True},
        rows=[{"vector": [0.5 + number] * DIM} for number in range(4)],
        batch_rows=2,
    ),
    one(operators.MilvusUpsertOperator, finds=IN_MEMORY, rows=ROWS, batch_rows=2, max_parallel=1),
    one(
        operators.MilvusUpsertOperator,
        words="through an alias",
        finds={**IN_MEMORY, "alias": LIVE},
        rows=ROWS,
        collection_name=LIVE,
    ),
    one(
        operators.MilvusSyncDocumentsOperator,
        finds=IN_MEMORY,
        takes_away=True,
        rows=[*ROWS, *({"id": key, "vector": [0.5] * DIM} for key in KEYS[DOCS][1:])],
        document_field="id",
        hash_field="id",
        prune=True,
        max_deleted="any",
    ),
    one(operators.MilvusCopyCollectionOperator, words="acts on the collection", finds=IN_MEMORY, target_name="new"),
    one(operators.MilvusCopyCollectionOperator, words="acts on the copy", finds=IN_MEMORY, target_name="new", subject="new"),
    one(operators.MilvusFlushOperator, finds=IN_MEMORY, **WATCHED),
    one(operators.MilvusCompactOperator, finds=IN_MEMORY, dialects=SERVERS, **WATCHED),
    one(operators.MilvusAlterCollectionOperator, properties={"collection.ttl.seconds": 60}, dialects=SERVERS),
    one(operators.MilvusCreateDatabaseOperator, collection_name=None, database=DATABASE, subject=DATABASE),
    one(
        operators.MilvusCreateDatabaseOperator,
        words='properties, if_exists="skip"',
        collection_name=None,
        database=DATABASE,
        properties=MOST_COLLECTIONS,
        if_exists="skip",
        subject=DATABASE,
        dialects=("2.6.16",),
    ),
    one(
        operators.MilvusAlterDatabaseOperator,
        finds={"database": ()},
        collection_name=None,
        database=DATABASE,
        properties=MOST_COLLECTIONS,
        subject=DATABASE,
        dialects=("2.6.16",),
    ),
    one(
        operators.MilvusDropDatabaseOperator,
        finds={"database": ()},
        takes_away=True,
        collection_name=None,
        database=DATABASE,
        subject=DATABASE,
    ),
    one(
        operators.MilvusDropDatabaseOperator,
        words="drop_collections=True",
        finds={"database": (IN_DATABASE,)},
        takes_away=True,
        collection_name=None,
        database=DATABASE,
        drop_collections=True,
        subject=DATABASE,
    ),
    one(
        operators.MilvusDropDatabaseOperator,
        words="drop_collections=True, acts on its collection",
        finds={"database": (IN_DATABASE,)},
        takes_away=True,
        collection_name=None,
        database=DATABASE,
        drop_collections=True,
        subject=IN_DATABASE,
    ),
    one(operators.MilvusReclaimMemoryOperator, finds=ALL_IN_MEMORY, takes_away=True, collection_name=None, collections="docs*"),
    one(
        operators.MilvusReclaimMemoryOperator,
        words="another collection is due first",
        finds=ALL_IN_MEMORY,
        takes_away=True,
        collection_name=None,
        collections="docs*",
        subject=THIRD,
    ),
    Scenario("MilvusReclaimMemoryOperator", _approved, "a dry run and its approved plan", ALL_IN_MEMORY, takes_away=True),
    Scenario(
        "MilvusReclaimMemoryOperator", _reclaimed_and_reloaded, "and MilvusRestoreLoadOperator", ALL_IN_MEMORY, takes_away=True
    ),
    one(
        operators.MilvusRestoreLoadOperator,
        collection_name=None,
        restore_set={"restore": {"default": [DOCS, OTHER]}},
        **WATCHED,
    ),
    one(
        operators.MilvusBulkImportOperator,
        finds=IN_MEMORY,
        files=["/data/a.parquet", "/data/b.parquet"],
        probe=False,
        dialects=("2.3.5",),
        **WATCHED,
    ),
    *(
        (
            one(operators.MilvusCreateSnapshotOperator, snapshot_name="monday", dialects=("3.0.0",)),
            one(
                operators.MilvusRestoreSnapshotOperator,
                finds={"snapshot": "monday"},
                snapshot_name="monday",
                target_collection_name="restored",
                subject="restored",
                dialects=("3.0.0",),
                **WATCHED,
            ),
        )
        if hasattr(milvus_pb2, "CreateSnapshotRequest")
        else ()
    ),
)
