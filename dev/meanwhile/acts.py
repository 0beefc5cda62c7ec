"""What somebody else does meanwhile, done to the stand-in's model at once, as a server does it for another client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_milvus.schema.window_marks import Mark, marks_of, properties_of
from dev.meanwhile.world import ANEW, DATABASE, DOCS, KEYS, THEIRS, THIRD, add
from dev.servers.scripted import LOADED, NOT_LOADED, Collection, ScriptedMilvus

EXTRA_ALIAS, OTHER_WINDOW = "somebodys_alias", "somebodys window"
FOR_EVER = 4e9
OTHER_PROPERTY = {"database.diskQuota.mb": "7"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody acts: a collection or a database, and the alias that the task is about, if there is one."""

    server: ScriptedMilvus
    collection: str
    alias: str = ""

    @property
    def there(self) -> Collection | None:
        return self.server.collections.get(self.collection)

    @property
    def is_database(self) -> bool:
        return self.collection == DATABASE


def _add_alias(place: Place) -> None:
    if place.there is not None:
        place.there.aliases.append(EXTRA_ALIAS)


def _open_window(place: Place) -> None:
    """As ``open_window`` does: a mark, and a load where the collection is not in memory."""
    there = place.there
    if there is None or not place.server.dialect.keeps_properties:
        return
    marks = marks_of(there.properties)
    is_by_windows = there.now == NOT_LOADED or any(mark.loaded for mark in marks.values())
    there.properties.update(properties_of({**marks, OTHER_WINDOW: Mark(FOR_EVER, is_by_windows, tuple(there.aliases))}))
    _load(place)


def _load(place: Place) -> None:
    there = place.there
    if there is not None and there.now[0] == "NotLoad":
        there.become([LOADED])
        place.server.count_load(there)


def _release(place: Place) -> None:
    if place.there is not None:
        place.there.become([NOT_LOADED])


def _drop(place: Place) -> None:
    server = place.server
    server.collections.pop(place.collection, None)
    if place.is_database and server.databases.pop(DATABASE, None):
        server.collections = {name: each for name, each in server.collections.items() if each.database != DATABASE}


def _make_anew(place: Place) -> None:
    """Also where there is none any more, or none yet. An alias goes with the collection that it points to."""
    if place.is_database:
        _drop(place)
        place.server.add_database(DATABASE)
        return
    like = place.there or place.server.collections[THIRD]
    _drop(place)
    anew = add(place.server, place.collection, ANEW, loaded=True, auto_id=bool(like.primary.autoID))
    anew.database = like.database
    anew.partitions = {name: anew.number * 100 + id for name, id in like.partitions.items()}


def _move_alias(place: Place, collection: str) -> None:
    if any(place.alias in held.aliases for held in place.server.collections.values()):
        for name, held in place.server.collections.items():
            held.aliases = [alias for alias in held.aliases if alias != place.alias]
            if name == collection:
                held.aliases.append(place.alias)


def _make_partition_anew(place: Place) -> None:
    """Each but the default one, with rows: a partition that a task drops may be another one by now."""
    if place.there is not None and place.server.dialect.tells_ids:
        for name in place.there.partitions.keys() - {"_default"}:
            place.there.partitions[name] += 1
            place.there.partition_rows[name] = 7


def _write_to_partition(place: Place) -> None:
    if place.there is not None:
        place.there.partition_rows.update({name: 7 for name in place.there.partitions if name != "_default"})


def _delete_rows(place: Place) -> None:
    """Not as many as a task writes at once: where the server makes the keys, nobody could tell the two from each other."""
    if place.there is not None:
        gone = {key for keys in KEYS.values() for key in keys[:3]}
        place.there.keys = [key for key in place.there.keys if key not in gone]


def _make_collection(place: Place) -> None:
    if place.is_database and DATABASE in place.server.databases and THEIRS not in place.server.collections:
        add(place.server, THEIRS, ANEW, loaded=False).database = DATABASE


def _alter(place: Place) -> None:
    if place.is_database and DATABASE in place.server.databases and place.server.dialect.describes_database:
        place.server.databases[DATABASE].properties.update(OTHER_PROPERTY)


Act = Callable[[Place], None]

ACTS: dict[str, Act] = {
    "alias added": _add_alias,
    "window opened": _open_window,
    "loaded": _load,
    "released": _release,
    "dropped": _drop,
    "made anew": _make_anew,
    "alias moved elsewhere": lambda place: _move_alias(place, THIRD),
    "alias moved back": lambda place: _move_alias(place, DOCS),
    "rows deleted": _delete_rows,
    "partition made anew": _make_partition_anew,
    "partition written to": _write_to_partition,
    "collection made in it": _make_collection,
    "altered": _alter,
}
"""By the words of the tables. *Made anew*: dropped, and made again by the same name, with its own rows and index, in memory."""
