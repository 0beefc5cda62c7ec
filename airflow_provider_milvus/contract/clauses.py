"""The contract: a call, the situation in which it is made, and the answers that this provider relies on.

The clauses tell a story, in this order, of a collection in a database of its own. Those in ``READS`` come first: they need
neither, and change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_milvus.exceptions import (
    MilvusAliasNotFoundError,
    MilvusCollectionNotFoundError,
    MilvusDatabaseNotFoundError,
    MilvusError,
    MilvusIndexNotFoundError,
    MilvusInvalidArgumentError,
    MilvusNotFoundError,
    MilvusNotLoadedError,
    MilvusPartitionNotFoundError,
    MilvusRefusedError,
    MilvusServerError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.schema.pairs import from_pairs, to_pairs

Shown = dict[str, Any]
Relied = Mapping[str, Any] | type[MilvusError]

DOCS, RENAMED, ALIAS, MISSING, DATABASE = "<docs>", "<renamed>", "<alias>", "<missing>", "<database>"
"""These stand for names in a request, and in what is shown of an answer; the names themselves are new in every run."""
AFTERWARDS = COLLECTION_ID, FLUSH_TIME, SEGMENTS, COMPACTION = "<collection id>", "<flush time>", "<segments>", "<compaction>"
"""These stand for what an earlier answer gave."""
SCHEMA, QUESTION = "<schema>", "<question>"

WORK = 60.0
"""Seconds for what a server does after it has answered, such as a load."""
_DIM = 4


def _nothing(answer: Any) -> Shown:
    return {}


@dataclass(frozen=True, slots=True)
class Clause:
    """One call in one situation.

    ``relied_on``: the answers that the provider can work with, as what ``show`` takes from an answer, or as an error's kind.
    ``lite``: more such answers, of Milvus Lite alone. ``gives``: what later requests need of this answer. ``within``: seconds
    until the answer has to be one of ``relied_on``. ``in_missing_database``: ask there, not in the database of the story.
    """

    call: str
    situation: str
    relied_on: Sequence[Relied] = ({},)
    fields: Mapping[str, Any] = field(default_factory=dict)
    show: Callable[[Any], Shown] = _nothing
    gives: Callable[[Any], Mapping[str, Any]] = _nothing
    lite: Sequence[Relied] = ()
    within: float = 0
    in_missing_database: bool = False

    @property
    def name(self) -> str:
        return f"{self.call} {self.situation}"


def _shows(*names: str) -> Callable[[Any], Shown]:
    """Take these fields from an answer, and what is repeated as a list."""

    def show(answer: Any) -> Shown:
        values = {name: getattr(answer, name) for name in names}
        return {name: list(value) if hasattr(value, "extend") else value for name, value in values.items()}

    return show


def _tells(name: str) -> Callable[[Any], Shown]:
    """Take from an answer whether it has this field."""
    return lambda answer: {"told": bool(getattr(answer, name))}


def _enumeration(name: str, number: int) -> str:
    from airflow_provider_milvus.protocol import common_pb2

    return str(getattr(common_pb2, name).Name(number))


def _load_state(answer: Any) -> Shown:
    return {"state": _enumeration("LoadState", answer.state).removeprefix("LoadState")}


def _described(answer: Any) -> Shown:
    return {
        "collection_name": answer.collection_name,
        "schema.name": answer.schema.name,
        "aliases": list(answer.aliases),
        "has_id": bool(answer.collectionID),
    }


def _properties(answer: Any) -> Shown:
    return {"mark": from_pairs(answer.properties).get(_MARK)}


def _loaded_names(answer: Any) -> Shown:
    return dict(zip(answer.collection_names, answer.inMemory_percentages, strict=False))


def _compaction_state(answer: Any) -> Shown:
    return {"state": _enumeration("CompactionState", answer.state), "failed": answer.failedPlanNo}


def _index_states(answer: Any) -> Shown:
    return {index.field_name: _enumeration("IndexState", index.state) for index in answer.index_descriptions}


def _counted(answer: Any) -> Shown:
    return {"count": answer.fields_data[0].scalars.long_data.data[0]}


def _keys(answer: Any) -> Shown:
    return {"keys": list(answer.fields_data[0].scalars.long_data.data) if answer.fields_data else []}


def _page_of(expression: str) -> dict[str, Any]:
    """As a walk through all rows asks for one of them."""
    in_order = {"limit": 1, "iterator": "True", "reduce_stop_for_best": "True"}
    return {**_count_of(DOCS), "expr": expression, "output_fields": ["id"], "query_params": to_pairs(in_order)}


def _rows(*keys: int) -> dict[str, Any]:
    """The fields of a write of these rows."""
    vectors = {"dim": _DIM, "float_vector": {"data": [0.5] * _DIM * len(keys)}}
    return {
        **_OF_DOCS,
        "num_rows": len(keys),
        "fields_data": [
            {"field_name": "id", "type": "Int64", "scalars": {"long_data": {"data": keys}}},
            {"field_name": "vector", "type": "FloatVector", "vectors": vectors},
        ],
    }


def _count_of(name: str) -> dict[str, Any]:
    strong = {"consistency_level": "Strong", "use_default_consistency": False}
    return {"collection_name": name, "output_fields": ["count(*)"], **strong}


FIELDS = {
    "fields": [
        {"name": "id", "type": "INT64", "is_primary": True},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": _DIM},
    ]
}
_MARK = "airflow.contract"
_OF_DOCS, _OF_MISSING = {"collection_name": DOCS}, {"collection_name": MISSING}
_DOCS_IN_MEMORY = {**_OF_DOCS, "type": "InMemory"}
_MISSING_IN_MEMORY = {"type": "InMemory", "collection_names": [MISSING]}
_INDEX = {"field_name": "vector", "index_name": "vector"}
_NOT_THERE = (MilvusCollectionNotFoundError,)
_NO_DATABASE = (MilvusDatabaseNotFoundError, *_NOT_THERE)
# Milvus Lite has no code of its own for an alias.
_NO_ALIAS = (MilvusAliasNotFoundError, *_NOT_THERE)
_REFUSED = (MilvusRefusedError, MilvusInvalidArgumentError, MilvusServerError)
_NOT_IN_MEMORY = (MilvusNotLoadedError, MilvusServerError)
_LOAD = {**_OF_DOCS, "replica_number": 1}
_PLACED = ["__default_resource_group"]
_REPLICAS = ({"groups": _PLACED}, MilvusUnsupportedError)
_TOLD = ({"told": True}, MilvusUnsupportedError)
_FLUSH = {**_OF_DOCS, "flush_ts": FLUSH_TIME, "segmentIDs": SEGMENTS}
_SEARCH = {
    **_OF_DOCS,
    "dsl_type": "BoolExprV1",
    "placeholder_group": QUESTION,
    "nq": 1,
    "search_params": to_pairs({"anns_field": "vector", "topk": 5, "round_decimal": -1, "params": "{}"}),
    "consistency_level": "Strong",
}
_PARTITION = {**_OF_DOCS, "partition_name": "p1"}
_OF_DATABASE = {"db_name": DATABASE}
_DESCRIBED = {"collection_name": DOCS, "schema.name": DOCS, "aliases": [], "has_id": False}


def _flush_to_watch(answer: Any) -> Mapping[str, Any]:
    # Milvus Lite tells neither.
    segments = [id for flushed in answer.coll_segIDs.values() for id in flushed.data]
    return {FLUSH_TIME: next(iter(answer.coll_flush_ts.values()), 0), SEGMENTS: segments}


def _groups(answer: Any) -> Shown:
    return {"groups": [replica.resource_group_name for replica in answer.replicas]}


READS: tuple[Clause, ...] = (
    Clause("GetVersion", "of a server", [{"told": True}], show=_tells("version")),
    Clause("ListDatabases", "of a server", [{"default": True}], show=lambda answer: {"default": "default" in answer.db_names}),
    Clause("GetMetrics", "of the nodes", _TOLD, {"request": '{"metric_type": "system_info"}'}, _tells("response")),
    Clause("CheckHealth", "of a server", [{"healthy": True}, MilvusUnsupportedError], show=lambda a: {"healthy": a.isHealthy}),
    Clause("DescribeCollection", "of a missing collection", _NOT_THERE, _OF_MISSING),
    Clause("DescribeCollection", "in a missing database", _NO_DATABASE, _OF_MISSING, in_missing_database=True),
    Clause(
        "ShowCollections", "in a missing database", [MilvusDatabaseNotFoundError], _MISSING_IN_MEMORY, in_missing_database=True
    ),
    Clause("ShowCollections", "of a missing collection in memory", [{}, *_NOT_THERE, MilvusServerError], _MISSING_IN_MEMORY),
    Clause("GetLoadState", "of a missing collection", [{"state": "NotExist"}], _OF_MISSING, _load_state),
    Clause("GetLoadingProgress", "of a missing collection", _NOT_THERE, _OF_MISSING),
    Clause("DescribeIndex", "of a missing collection", _NOT_THERE, _OF_MISSING),
    Clause("DescribeAlias", "of a missing alias", _NO_ALIAS, {"alias": MISSING}),
    Clause("Query", "of a missing collection", _NOT_THERE, _count_of(MISSING)),
)

STORY: tuple[Clause, ...] = (
    Clause("ReleaseCollection", "of a missing collection", _NOT_THERE, _OF_MISSING),
    Clause("DropCollection", "of a missing collection", [{}, *_NOT_THERE], _OF_MISSING),
    Clause("CreateCollection", "of a new name", fields={**_OF_DOCS, "schema": SCHEMA, "shards_num": 1}),
    Clause(
        "DescribeCollection",
        "of a collection",
        [{**_DESCRIBED, "has_id": True}, _DESCRIBED],
        _OF_DOCS,
        _described,
        lambda a: {COLLECTION_ID: a.collectionID},
    ),
    Clause(
        "BatchDescribeCollection",
        "of a collection and a missing one",
        [{"there": [True, False]}, MilvusUnsupportedError],
        {"collection_name": [DOCS, MISSING]},
        lambda answer: {"there": [not (one.status.code or one.status.error_code) for one in answer.responses]},
    ),
    Clause("CreatePartition", "of a new name", fields=_PARTITION),
    Clause("CreatePartition", "of a partition that is there", [{}, *_REFUSED], _PARTITION),
    Clause(
        "ShowPartitions",
        "of a collection",
        [{"partition_names": ["_default", "p1"]}],
        _OF_DOCS,
        lambda answer: {"partition_names": sorted(answer.partition_names)},
    ),
    Clause(
        "DropPartition", "of a missing partition", [{}, MilvusPartitionNotFoundError], {**_PARTITION, "partition_name": MISSING}
    ),
    Clause("DropPartition", "of a partition", fields=_PARTITION),
    Clause("AlterCollection", "with a property of one's own", [{}], {**_OF_DOCS, "properties": to_pairs({_MARK: "kept"})}),
    Clause("DescribeCollection", "with a property of one's own", [{"mark": "kept"}], _OF_DOCS, _properties),
    Clause("CreateAlias", "of a new name", fields={**_OF_DOCS, "alias": ALIAS}),
    Clause(
        "DescribeCollection",
        "through an alias",
        [{**_DESCRIBED, "collection_name": ALIAS, "aliases": [ALIAS], "has_id": True}, _DESCRIBED],
        {"collection_name": ALIAS},
        _described,
    ),
    Clause("DescribeAlias", "of an alias", [{"collection": DOCS}], {"alias": ALIAS}, _shows("collection")),
    Clause("ListAliases", "of a collection", [{"aliases": [ALIAS]}], _OF_DOCS, _shows("aliases")),
    Clause("CreateAlias", "of an alias that is there", [{}, *_REFUSED], {"collection_name": DOCS, "alias": ALIAS}),
    Clause("CreateAlias", "of a collection's name", _REFUSED, {"collection_name": DOCS, "alias": DOCS}),
    Clause("AlterAlias", "of a missing alias", _NO_ALIAS, {**_OF_DOCS, "alias": MISSING}),
    Clause("AlterAlias", "to a missing collection", _NOT_THERE, {**_OF_MISSING, "alias": ALIAS}),
    Clause("ReleaseCollection", "of what is not loaded", fields=_OF_DOCS),
    Clause("GetLoadState", "of what is not loaded", [{"state": "NotLoad"}], _OF_DOCS, _load_state, lite=[{"state": "Loaded"}]),
    Clause("GetLoadingProgress", "of what is not loaded", [*_NOT_IN_MEMORY], _OF_DOCS, lite=[{}]),
    Clause(
        "GetReplicas",
        "of what is not loaded",
        [*_NOT_IN_MEMORY, *_NOT_THERE, MilvusUnsupportedError, {"groups": []}],
        _OF_DOCS,
        _groups,
    ),
    Clause(
        "ShowPartitions",
        "in memory, of what is not loaded",
        [{"partition_names": []}, *_NOT_THERE, *_NOT_IN_MEMORY],
        _DOCS_IN_MEMORY,
        _shows("partition_names"),
        lite=[{"partition_names": ["_default"]}],
    ),
    Clause("Query", "of what is not loaded", _NOT_IN_MEMORY, _count_of(DOCS), lite=[{}]),
    Clause("DescribeIndex", "without an index", [MilvusIndexNotFoundError], _OF_DOCS),
    Clause("LoadCollection", "without an index", [MilvusIndexNotFoundError], _LOAD, lite=[{}]),
    Clause("Insert", "of three rows", [{"insert_cnt": 3}], _rows(1, 2, 3), _shows("insert_cnt")),
    Clause(
        "CreateIndex",
        "of a vector field",
        fields={**_OF_DOCS, **_INDEX, "extra_params": to_pairs({"index_type": "FLAT", "metric_type": "L2"})},
    ),
    Clause("DescribeIndex", "of a built index", [{"vector": "Finished"}], _OF_DOCS, _index_states, within=WORK),
    Clause(
        "LoadCollection",
        "into a missing resource group",
        [MilvusNotFoundError, *_REFUSED],
        {**_LOAD, "resource_groups": [MISSING]},
        lite=[{}],
    ),
    Clause(
        "LoadPartitions",
        "of a missing partition",
        [MilvusPartitionNotFoundError, MilvusUnsupportedError],
        {**_LOAD, "partition_names": [MISSING]},
    ),
    Clause("LoadCollection", "of what is not loaded", fields=_LOAD),
    Clause(
        "GetLoadingProgress",
        "of what is loaded",
        [{"progress": 100, "refresh_progress": 100}],
        _OF_DOCS,
        _shows("progress", "refresh_progress"),
        within=WORK,
        lite=[{"progress": 100, "refresh_progress": 0}],
    ),
    Clause("GetLoadState", "of what is loaded", [{"state": "Loaded"}], _OF_DOCS, _load_state, within=WORK),
    Clause("ShowCollections", "in memory", [{DOCS: 100}], {"type": "InMemory"}, _loaded_names),
    Clause("ShowPartitions", "in memory", [{"partition_names": ["_default"]}], _DOCS_IN_MEMORY, _shows("partition_names")),
    Clause("GetReplicas", "of what is loaded", _REPLICAS, _OF_DOCS, _groups),
    Clause("Query", "of what is loaded", [{"count": 3}], _count_of(DOCS), _counted, within=WORK),
    Clause("LoadCollection", "of what is loaded, as it is", fields={**_LOAD, "resource_groups": _PLACED}),
    Clause("GetReplicas", "after a load of what is loaded", _REPLICAS, _OF_DOCS, _groups),
    Clause("Upsert", "of a key that is there", [{"upsert_cnt": 1}], _rows(1), _shows("upsert_cnt")),
    Clause("Query", "after an upsert", [{"count": 3}], _count_of(DOCS), _counted),
    Clause("Delete", "of a key", [{"delete_cnt": 1}], {**_OF_DOCS, "expr": "id in [1]"}, _shows("delete_cnt")),
    Clause("Query", "after a deletion", [{"count": 2}], _count_of(DOCS), _counted),
    Clause("Query", "of the first page", [{"keys": [2]}], _page_of("id > 1"), _keys),
    Clause("Query", "of the page after it", [{"keys": [3]}], _page_of("id > 2"), _keys),
    Clause("Query", "of a page after the last", [{"keys": []}], _page_of("id > 3"), _keys),
    Clause(
        "Search",
        "of what is loaded",
        [{"keys": [2, 3]}],
        _SEARCH,
        lambda answer: {"keys": sorted(answer.results.ids.int_id.data)},
    ),
    Clause(
        "Flush",
        "of a collection",
        [{"told": True}, {"told": False}],
        {"collection_names": [DOCS]},
        lambda a: {"told": len(a.coll_flush_ts) == 1},
        _flush_to_watch,
    ),
    Clause("GetFlushState", "of a flush", [{"flushed": True}, MilvusUnsupportedError], _FLUSH, _shows("flushed"), within=WORK),
    Clause("GetPersistentSegmentInfo", "after a flush", _TOLD, {"collectionName": DOCS}, _tells("infos")),
    Clause("GetQuerySegmentInfo", "of what is loaded", [{}, MilvusUnsupportedError], {"collectionName": DOCS}),
    Clause(
        "GetCollectionStatistics",
        "of a collection",
        [{"told": True}],
        _OF_DOCS,
        lambda a: {"told": "row_count" in from_pairs(a.stats)},
    ),
    Clause(
        "ManualCompaction",
        "of a collection",
        [{}, MilvusUnsupportedError],
        {**_OF_DOCS, "collectionID": COLLECTION_ID},
        gives=lambda a: {COMPACTION: a.compactionID},
    ),
    Clause(
        "GetCompactionState",
        "of a compaction",
        [{"state": "Completed", "failed": 0}, MilvusUnsupportedError],
        {"compactionID": COMPACTION},
        _compaction_state,
        within=WORK,
    ),
    Clause("ReleaseCollection", "of what is loaded", fields=_OF_DOCS),
    Clause("GetLoadState", "of what was released", [{"state": "NotLoad"}], _OF_DOCS, _load_state, within=WORK),
    Clause("DropIndex", "of what is not loaded", fields={**_OF_DOCS, **_INDEX}),
    Clause("TruncateCollection", "of a collection", [{}, MilvusUnsupportedError], _OF_DOCS),
    Clause("RenameCollection", "of a missing collection", _NOT_THERE, {"oldName": MISSING, "newName": RENAMED}),
    Clause("RenameCollection", "of a collection", fields={"oldName": DOCS, "newName": RENAMED}),
    Clause("RenameCollection", "to the name that it had", fields={"oldName": RENAMED, "newName": DOCS}),
    Clause("CreateDatabase", "of a database that is there", _REFUSED, _OF_DATABASE),
    Clause(
        "DescribeDatabase", "of a database", [{"db_name": DATABASE}, MilvusUnsupportedError], _OF_DATABASE, _shows("db_name")
    ),
    Clause(
        "AlterDatabase",
        "with a property",
        [{}, MilvusUnsupportedError],
        {**_OF_DATABASE, "properties": to_pairs({"database.max.collections": 100})},
    ),
    Clause("DropDatabase", "of a database with a collection", _REFUSED, _OF_DATABASE),
    Clause("DropCollection", "through an alias", [*_REFUSED, MilvusNotFoundError], {"collection_name": ALIAS}, lite=[{}]),
    Clause("DropAlias", "of an alias", fields={"alias": ALIAS}),
    Clause("DropCollection", "of a collection", fields=_OF_DOCS),
    Clause("DescribeCollection", "of what was dropped", _NOT_THERE, _OF_DOCS),
    Clause("GetLoadState", "of what was dropped", [{"state": "NotExist"}], _OF_DOCS, _load_state),
)
