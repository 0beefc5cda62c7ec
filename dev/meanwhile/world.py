"""What the stand-in holds: the collections that every task finds, and all that can be compared afterwards, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_milvus.schema.pairs import to_pairs
from airflow_provider_milvus.schema.window_marks import MARK_PROPERTY, marks_of
from dev.servers.scripted import LOADED, NOT_LOADED, Collection, ScriptedMilvus, State, collection_schema

DOCS, OTHER, THIRD = "docs", "docs_2", "docs_3"
DATABASE, IN_DATABASE, THEIRS = "shop", "goods", "somebodys"
"""A database that a task is about, a collection in it, and one that somebody makes in it."""
KEYS = {DOCS: range(1, 6), OTHER: range(11, 16), THIRD: range(21, 26)}
ANEW = range(901, 904)
"""The keys of a collection that somebody makes anew."""
DIM = 2
INDEX = {"field_name": "vector", "index_type": "FLAT", "metric_type": "L2"}


def schema(*, auto_id: bool = False) -> dict[str, Any]:
    key = {"name": "id", "type": "INT64", "is_primary": True, "auto_id": auto_id}
    return {"fields": [key, {"name": "vector", "type": "FLOAT_VECTOR", "dim": DIM}]}


@dataclass(frozen=True, slots=True)
class Held:
    """One collection, or a database, whose collections stand for its partitions. ``number`` is its id, ``load`` the number of
    the load that brought it into memory, 0 outside of it; ``windows`` are those that are open."""

    number: int
    state: str
    load: int
    aliases: tuple[str, ...]
    keys: tuple[Any, ...]
    indexes: tuple[str, ...]
    properties: tuple[tuple[str, str], ...]
    windows: tuple[str, ...]
    snapshots: tuple[str, ...]
    partitions: tuple[str, ...]
    """With the number of rows of each that has some."""

    @property
    def in_memory(self) -> bool:
        return self.state in ("Loading", "Loaded")


World = dict[str, Held]
"""By the names of the collections and of the databases but ``default``."""


def add(
    server: ScriptedMilvus, name: str, keys: Any, *, loaded: bool, auto_id: bool = False, indexed: bool = True
) -> Collection:
    """A collection with rows and an index."""
    index = {"index_name": "vector", "field_name": "vector", "params": to_pairs({"index_type": "FLAT"}), "state": 3}
    return server.add(
        name,
        LOADED if loaded else NOT_LOADED,
        schema=collection_schema(name, schema(auto_id=auto_id)),
        keys=list(keys),
        indexes=[index] if indexed else [],
    )


def fill(
    server: ScriptedMilvus,
    *,
    in_memory: tuple[str, ...] = (),
    alias: str = "",
    auto_id: bool = False,
    indexed: bool = True,
    on_load: tuple[State, ...] = (LOADED,),
    snapshot: str = "",
    partition: str = "",
    database: tuple[str, ...] | None = None,
) -> None:
    """The collections that every task finds. ``alias``, if there is one, points to the first; ``database`` are the collections
    in another database, if there is one."""
    for name, keys in KEYS.items():
        added = add(server, name, keys, loaded=name in in_memory, auto_id=auto_id, indexed=indexed)
        added.on_load = on_load
        added.snapshots = {snapshot: list(keys)} if snapshot else {}
        if partition:
            added.partitions[partition] = added.number * 100
    if alias:
        server.collections[DOCS].aliases.append(alias)
    if database is not None:
        server.add_database(DATABASE)
        for name in database:
            add(server, name, KEYS[DOCS], loaded=False).database = DATABASE


def seen(server: ScriptedMilvus) -> World:
    """All that is there now, by the stand-in's model. A load that goes on by itself has ended."""
    with server.lock:
        held = {name: _held(collection) for name, collection in server.collections.items()}
        for name in server.databases.keys() - {"default"}:
            inside = tuple(sorted(name_in for name_in, each in server.collections.items() if each.database == name))
            database = server.databases[name]
            properties = tuple(sorted(database.properties.items()))
            held[name] = Held(database.number, "NotLoad", 0, (), (), (), properties, (), (), inside)
        return held


def _held(collection: Collection) -> Held:
    state = (collection.to_come or [collection.now])[-1][0]
    own = {key: value for key, value in collection.properties.items() if not key.startswith((MARK_PROPERTY, "airflow."))}
    marks = marks_of(collection.properties)
    return Held(
        collection.number,
        state,
        collection.load if state != "NotLoad" else 0,
        tuple(sorted(collection.aliases)),
        tuple(sorted(collection.keys)),
        tuple(sorted(index["index_name"] for index in collection.indexes)),
        tuple(sorted(own.items())),
        tuple(sorted(window for window, mark in marks.items() if not mark.closing)),
        tuple(sorted(collection.snapshots)),
        tuple(f"{name}{collection.partition_rows.get(name) or ''}" for name in sorted(collection.partitions)),
    )


def target_of(world: World, alias: str) -> tuple[str, int] | None:
    """The collection that an alias points to, and its id."""
    return next(((name, held.number) for name, held in world.items() if alias in held.aliases), None)
