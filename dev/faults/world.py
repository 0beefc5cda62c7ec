"""What a task finds on the server: two collections that tasks work on, with an alias, and one that no task names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dev.faults import inventory
from dev.faults.inventory import Inventory
from dev.roles import ROWS

BYSTANDER = "bystander"
ALIASES = {"docs": "live", BYSTANDER: "seen"}
ALL_ROWS = [(row["id"], row["vector"][-1]) for row in ROWS]


@dataclass(frozen=True, slots=True)
class World:
    """The collections ``docs``, with the alias ``live``, and ``docs_2``: are they in memory, and have they an index?

    ``bystander`` is in memory in any case. ``generates_keys``: the server makes the keys of the rows of ``docs``.
    """

    in_memory: bool = False
    indexed: bool = True
    generates_keys: bool = False

    def make(self, client: Any) -> Inventory:
        """Make what is not so already, and return the inventory."""
        found = inventory.settled(client)
        names = ("docs", "docs_2", BYSTANDER)
        whole = {name for name in names if self._is_whole(name, found)}
        for name in {collection for collection, _ in found} - whole:
            drop_collection(client, name, found)
        for name in names:
            if name not in whole:
                generates_keys = self._keys_of(name) == inventory.GENERATED
                make_collection(client, name, indexed=self.indexed or name == BYSTANDER, generates_keys=generates_keys)
                if name in ALIASES:
                    client.create_alias(name, ALIASES[name])
        loaded = [name for name in names if name == BYSTANDER or self.in_memory]
        for name in names:
            state = str(client.get_load_state(name)["state"])
            if name in loaded and state != "Loaded":
                client.load_collection(name, timeout=60)
            elif name not in loaded and state != "NotLoad":
                client.release_collection(name)
        now = inventory.settled(client)
        assert now.keys() == {(name, aspect) for name in names for aspect in inventory.ASPECTS}, sorted(now)
        return now

    def _is_whole(self, name: str, found: Inventory) -> bool:
        alias = [ALIASES[name]] if name in ALIASES else []
        indexes = [("vector", "FLAT")] if self.indexed or name == BYSTANDER else []
        keys = self._keys_of(name)
        return (
            (name, "id") in found
            and found[name, "keys"] == keys
            and found[name, "aliases"] == alias
            and found[name, "indexes"] == indexes
            and found[name, "partitions"] == []
            and found[name, "properties"] == {}
            # Tasks that change rows find the collection in memory, and leave it there.
            and (found[name, "rows"] is inventory.NOT_SEEN or _rows_of(found[name, "rows"], keys) == _rows_of(ALL_ROWS, keys))
        )

    def _keys_of(self, name: str) -> str:
        return inventory.GENERATED if self.generates_keys and name == "docs" else inventory.GIVEN


def drop_collection(client: Any, name: str, found: Inventory) -> None:
    for alias in found.get((name, "aliases"), ()):
        client.drop_alias(alias)
    client.release_collection(name)
    client.drop_collection(name)


def make_collection(client: Any, name: str, *, indexed: bool = True, generates_keys: bool = False) -> None:
    """A collection with ``ROWS``, which is not loaded."""
    from pymilvus import DataType

    schema = client.create_schema(auto_id=generates_keys)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
    client.create_collection(name, schema=schema)
    if indexed:
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        client.create_index(name, index, sync=False)
    client.insert(name, [{"vector": row["vector"]} for row in ROWS] if generates_keys else ROWS)


def _rows_of(rows: Sequence[tuple[int, float]], keys: str) -> list[Any]:
    return sorted(end for _, end in rows) if keys == inventory.GENERATED else sorted(rows)
