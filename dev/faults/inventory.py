"""What a server has, asked directly, as plain values to compare: what a task must leave as it is, and what it changes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from airflow_provider_milvus.schema.window_marks import MARK_PROPERTY, marks_of
from airflow_provider_milvus.server.collections import CREATED_BY

Fact = tuple[str, str]
"""A collection and what is asked about it."""
Inventory = dict[Fact, Any]

ASPECTS = ("id", "keys", "state", "aliases", "partitions", "properties", "indexes", "rows")
GENERATED, GIVEN = "generated", "given"
"""By the server, or by who writes the rows."""
NOT_SEEN = "not in memory, so not seen"
"""The rows of a collection that no query reaches."""


class _Word:
    def __init__(self, word: str) -> None:
        self._word = word

    def __repr__(self) -> str:
        return self._word


GONE, ANYTHING, SOMETHING = _Word("nothing"), _Word("anything"), _Word("something")
"""What a task may make of a fact: it is no more, it may become whatever, or it has to be there."""


def take(client: Any, prefix: str = "") -> Inventory:
    """Ask the server now, through a client of pymilvus's, about the collections whose names begin so."""
    facts: Inventory = {}
    for name in client.list_collections():
        if not name.startswith(prefix):
            continue
        described = client.describe_collection(name)
        state = str(client.get_load_state(name)["state"])
        properties = {key: value for key, value in described["properties"].items() if value and key != "timezone"}
        indexes = [client.describe_index(name, index) for index in client.list_indexes(name)]
        values = {
            # Lite gives all the id 0, and no time; what the provider has made tells which try has made it.
            "id": (described["collection_id"], described.get("created_timestamp", 0), properties.get(CREATED_BY)),
            "keys": GENERATED if described["auto_id"] else GIVEN,
            "state": state,
            "aliases": sorted(client.list_aliases(name)["aliases"]),
            "partitions": sorted(set(client.list_partitions(name)) - {"_default"}),
            "properties": properties,
            "indexes": sorted((index["field_name"], index["index_type"]) for index in indexes),
            "rows": _rows(client, name) if state == "Loaded" else NOT_SEEN,
        }
        facts |= {(name, aspect): value for aspect, value in values.items()}
    return facts


def _rows(client: Any, name: str) -> list[tuple[int, float]]:
    """Each row's key and the end of its vector, as often as the server has it."""
    answer = client.query(name, "id >= 0", output_fields=["id", "vector"], consistency_level="Strong", limit=1000)
    return sorted((row["id"], round(float(row["vector"][-1]), 3)) for row in answer)


def settled(client: Any, prefix: str = "", patience: float = 20) -> Inventory:
    """The same, once no load is under way: a server goes on with what a task has given up."""
    end = time.monotonic() + patience
    while "Loading" in (facts := take(client, prefix)).values() and time.monotonic() < end:
        time.sleep(0.2)
    return facts


def plain(before: Inventory, now: Inventory) -> Inventory:
    """What two servers have in common after the same: an id is the one from before or a new one, and no time is told."""
    return {fact: _plain(fact, value, before, now) for fact, value in now.items()}


def _plain(fact: Fact, value: Any, before: Inventory, now: Inventory) -> Any:
    name, aspect = fact
    if aspect == "id":
        return "as before" if before.get(fact) == value else "new"
    if aspect == "rows" and value is not NOT_SEEN and now[name, "keys"] == GENERATED:
        return sorted(end for _, end in value)
    if aspect == "properties":
        windows = {window: {**asdict(mark), "until": "a time"} for window, mark in marks_of(value).items()}
        others = {key: text for key, text in value.items() if not key.startswith(MARK_PROPERTY)}
        if CREATED_BY in others:
            # The task and its run; what is in the end is each task's own.
            others[CREATED_BY] = others[CREATED_BY].rpartition(", ")[0]
        return {**others, "windows": windows}
    return value


def missing_from(now: Inventory, effects: Mapping[Fact, Any]) -> list[str]:
    """What a task that succeeded should have made and the server does not show."""
    return [
        f"{fact}: {now.get(fact, GONE)!r} instead of {effect!r}"
        for fact, effect in effects.items()
        if not _is(now.get(fact, GONE), effect)
    ]


def beyond(before: Inventory, now: Inventory, *effects: Mapping[Fact, Any]) -> list[str]:
    """What has changed and is no effect of the task: a task that fails may have done all, a part or nothing of them."""
    found = []
    for fact in sorted(before.keys() | now.keys()):
        was, is_now = before.get(fact, GONE), now.get(fact, GONE)
        may = any((fact in named and _is(is_now, named[fact])) or _unseen(fact, was, is_now, named) for named in effects)
        if was != is_now and not may:
            found.append(f"{fact}: {was!r} became {is_now!r}")
    return found


def _is(value: Any, effect: Any) -> bool:
    if effect is ANYTHING:
        return True
    return value is not GONE if effect is SOMETHING else value == effect


def _unseen(fact: Fact, was: Any, now: Any, effects: Mapping[Fact, Any]) -> bool:
    """Rows come into sight and go out of it with what a task may do to the memory."""
    collection, aspect = fact
    return aspect == "rows" and NOT_SEEN in (was, now) and (collection, "state") in effects


def gone(collection: str) -> dict[Fact, Any]:
    """The effects of a drop."""
    return {(collection, aspect): GONE for aspect in ASPECTS}


def made(collection: str) -> dict[Fact, Any]:
    """The effects of a creation."""
    return {(collection, aspect): SOMETHING if aspect in ("id", "state") else ANYTHING for aspect in ASPECTS}
