"""What keeps a collection in order, as flows: flush, compact, truncate, and change its properties.

Long work is submitted here and then watched as a condition. The operators in ``operators/maintenance.py`` are thin coats
around these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_milvus.client.flow import Flow, Pause, Report, Rpc
from airflow_provider_milvus.client.protocol import from_pairs, to_pairs
from airflow_provider_milvus.client.reads import aliases_of, describe, find, is_lite, real_name, row_count_if_loaded
from airflow_provider_milvus.conditions import Compacted, Flushed, plans_of
from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusInvalidArgumentError,
    MilvusRefusedError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnsupportedError,
)

SUBMIT_TIMEOUT = 60.0
POLL = 0.5
SEEN_WITHIN = 3.0
"""Seconds for a changed property to show."""


@dataclass(frozen=True, slots=True)
class Altered:
    """Properties of a collection, all of them, before and after."""

    collection: str
    before: dict[str, str]
    after: dict[str, str]


def submit_flush(name: str) -> Flow[Flushed]:
    """Ask the server to seal what was written so far and save it; what to wait for. Sent twice it is flushed once."""
    # Described first: Milvus Lite flushes what does not exist without a word.
    collection = real_name((yield from describe(name)))
    answer = yield Rpc("Flush", {"collection_names": [collection]}, SUBMIT_TIMEOUT)
    # Lite, which has flushed it when it answers, names no segments.
    segments = [int(each) for each in answer.coll_segIDs[collection].data]
    return Flushed(collection, segments, int(answer.coll_flush_ts[collection]))


def submit_compaction(name: str, *, report: Report) -> Flow[tuple[str, Compacted | None]]:
    """Ask for a compaction; the collection's own name, and what to wait for: ``None`` where there is nothing to do.

    Sent twice the server does it twice, which changes nothing but its load.
    """
    described = yield from describe(name)
    collection = real_name(described)
    if is_lite((yield Rpc("GetVersion"))):
        report("Milvus Lite compacts by itself, after a flush: there is nothing to ask for.")
        return collection, None
    # By id: of a request that only names its collection 2.3.5 does not read the name, and compacts the whole server.
    request = {"collectionID": described.collectionID, "collection_name": collection}
    submitted = yield Rpc("ManualCompaction", request, SUBMIT_TIMEOUT)
    if submitted.compactionID <= 0:
        report(f"The server sees nothing to compact in {collection!r}.")
        return collection, None
    first = yield Rpc("GetCompactionState", {"compactionID": submitted.compactionID})
    plans = max(int(submitted.compactionPlanCount), sum(plans_of(first).values()))
    report(f"Compaction {submitted.compactionID} of {collection!r}: {plans} plans.")
    return collection, Compacted(int(submitted.compactionID), plans, collection)


def truncate(name: str, *, allow_aliased: bool, report: Report) -> Flow[tuple[int | None, int | None]]:
    """Delete every row of a collection and keep all else. The rows before and after; ``None``: not in memory, not counted.

    :raises MilvusRefusedError: the name is an alias; or the collection has one, without ``allow_aliased``.
    :raises MilvusUnsupportedError: this server cannot do it. Nothing was changed.
    :raises MilvusTimeoutError: rows are still there at the end.
    """
    if (yield from find(name)) is None:
        raise MilvusCollectionNotFoundError(f"There is no collection {name!r} to empty. Check the name and the database.")
    if not allow_aliased and (aliases := (yield from aliases_of(name))):
        raise MilvusRefusedError(
            f"Collection {name!r} has the alias {', '.join(map(repr, aliases))}: emptying it would leave nothing to find for "
            "whoever searches through it. Swap the alias first, or set allow_aliased=True."
        )
    before = yield from row_count_if_loaded(name)
    # Once: a second one would also delete what was written after the first.
    yield Rpc("TruncateCollection", {"collection_name": name}, SUBMIT_TIMEOUT, repeatable=False)
    report(f"Every row of {name!r} was deleted" + (f": {before}." if before is not None else "."))
    after = before
    try:
        while after := (yield from row_count_if_loaded(name)):
            yield Pause(POLL)
    except MilvusTimeoutError as error:
        raise MilvusTimeoutError(
            f"Collection {name!r} was truncated and still has {after} rows. {error} The server may not be through with it, "
            "or somebody writes to it."
        ) from None
    return before, after


def alter(name: str, properties: Mapping[str, str], drop: Sequence[str], *, allow_alias: bool, report: Report) -> Flow[Altered]:
    """Set and remove properties of a collection; return when the server shows them so. What is so already is not sent.

    :raises MilvusRefusedError: the name is an alias, without ``allow_alias``.
    :raises MilvusUnsupportedError: this server removes no properties. Nothing was changed.
    :raises MilvusServerError: the server refuses, or took the change and does not show it.
    """
    described = yield from describe(name)
    collection, before = real_name(described), from_pairs(described.properties)
    if collection != name and not allow_alias:
        raise MilvusRefusedError(
            f"{name!r} is an alias of {collection!r}: name the collection itself, or set allow_alias=True."
        )
    removed = [each for each in drop if each in before]
    changed = {key: value for key, value in properties.items() if before.get(key) != value}
    # Removed first: a server that cannot is left as it was. In one call with values 2.3.5 forgets about the removal.
    if removed:
        yield from _remove(collection, removed)
    if changed:
        yield Rpc("AlterCollection", {"collection_name": collection, "properties": to_pairs(changed)})
    if not removed and not changed:
        report(f"The properties of {collection!r} are so already.")
        return Altered(collection, before, before)
    waited = 0.0
    while True:
        after = from_pairs((yield from describe(collection)).properties)
        if all(after.get(key) == value for key, value in changed.items()) and not set(removed) & set(after):
            return Altered(collection, before, after)
        if waited >= SEEN_WITHIN:
            raise MilvusServerError(f"The server took the change of {collection!r} and does not show it: it has {after}.")
        yield Pause(POLL)
        waited += POLL


def _remove(collection: str, keys: list[str]) -> Flow[None]:
    try:
        yield Rpc("AlterCollection", {"collection_name": collection, "delete_keys": keys})
    except MilvusServerError as error:
        if "properties is empty" not in str(error):
            raise
        raise MilvusUnsupportedError(
            f"This server cannot remove properties, so {collection!r} keeps {', '.join(keys)} and nothing was changed: set "
            f"them to other values instead. {error}"
        ) from None


def property_text(key: str, value: Any) -> str:
    """A property's value as Milvus keeps it. Servers take any text for the ones checked here, and then do nothing, or worse.

    :raises MilvusInvalidArgumentError: it can never work.
    """
    if isinstance(value, bool):
        value = "true" if value else "false"
    text = str(value).strip() if isinstance(value, (str, int, float)) else ""
    if not text:
        raise MilvusInvalidArgumentError(f"properties[{key!r}] must be text, a number, true or false, not {value!r}.")
    if key == "collection.ttl.seconds" and not text.isdecimal():
        raise MilvusInvalidArgumentError(f"properties[{key!r}] must be a whole number of seconds from 0 on, not {value!r}.")
    if key == "mmap.enabled":
        text = text.lower()
        if text not in ("true", "false"):
            raise MilvusInvalidArgumentError(f"properties[{key!r}] must be true or false, not {value!r}.")
    return text
