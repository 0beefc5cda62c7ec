"""A Milvus that plays what no real one does on demand: a load stuck at 40 %, a lost password, an answer that never comes.

It speaks the protocol of pymilvus's own generated stubs over a real socket. A small model of collections answers by itself;
a test bends it in two ways. Load states are lists, of which each look takes one and the last stays; and any RPC can be given
steps, such as :func:`refuse` or :func:`slow`, in place of its next answers. Every call is kept with its metadata and the time
that its deadline left.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_milvus.contract.privileges import kind_of
from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.schema.proto import schema_bytes
from dev.servers.dialects import DIALECTS, Dialect, Refusal
from dev.servers.process import free_ports
from dev.servers.rows import Row, as_fields, matches, nearest, row_of, rows_of
from dev.servers.rpc import LARGE_MESSAGES, MilvusHandler, as_response, keys_of

MADE = 1_700_000_000_000
"""When the first collections were made, in milliseconds since the epoch: in November 2023. Each was made a moment later."""
FIRST_ID = 455_449_282_168_619_000
"""Milvus makes its ids of the time: a float cannot tell two of them apart."""

GENERATED = 1_000_000
"""The first key that the server makes."""

STATES = ("NotExist", "NotLoad", "Loading", "Loaded")

DEFAULT_GROUP = "__default_resource_group"
NO_ROOM = "memory limit exceeded[predict(MB)=9000][limit(MB)=8000]"

State = tuple[str, int]
LOADED: State = ("Loaded", 100)
NOT_LOADED: State = ("NotLoad", 0)


def loading(percent: int) -> State:
    return ("Loading", percent)


@dataclass(frozen=True, slots=True)
class ReceivedCall:
    name: str
    request: Any
    metadata: dict[str, str]
    time_left: float | None
    """Seconds until the caller gives up; ``None`` without a deadline."""


@dataclass(slots=True)
class Database:
    """``number`` is its id. No other database of this server has or had it."""

    number: int
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Collection:
    """``now`` is what the last look saw, ``to_come`` what the next ones will; ``on_load`` and ``on_release`` are what comes
    after such a call. ``groups`` has the resource group of each replica in memory, ``load_fields`` the fields in memory if not
    all; ``no_room`` is why a load of it fails, ``failed`` why the last one did.

    One with a ``schema`` has rows. ``keys`` tell which there are: as in 2.3.5, an insert adds keys that are there already once
    more, and nothing is counted that is not loaded. ``written`` has what was last written under a key.
    """

    now: State = NOT_LOADED
    to_come: list[State] = field(default_factory=list)
    on_load: Sequence[State] = (LOADED,)
    on_release: Sequence[State] = (NOT_LOADED,)
    aliases: list[str] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)
    database: str = "default"
    """Which lists it. Names are taken in all databases at once."""
    number: int = 0
    """Its id. No other collection of this server has or had it."""
    load: int = 0
    """The number of the load that brought it into memory. No other load of this server has it."""
    groups: list[str] = field(default_factory=lambda: [DEFAULT_GROUP])
    load_fields: list[str] = field(default_factory=list)
    no_room: str = ""
    failed: str = ""
    refresh_progress: int = 100
    schema: Any = None
    """A ``CollectionSchema``, if it was created over the wire or with :func:`collection_schema`."""
    keys: list[Any] = field(default_factory=list)
    written: dict[Any, Row] = field(default_factory=dict)
    flushed: int = 0
    """The rows that a flush has put on storage."""
    indexes: list[dict[str, Any]] = field(default_factory=list)
    """Fields of ``IndexDescription``."""
    snapshots: dict[str, list[Any]] = field(default_factory=dict)
    """The keys in each snapshot."""
    partitions: dict[str, int] = field(default_factory=lambda: {"_default": 1})
    """The id of each partition. All have the load state of the collection."""
    partition_rows: dict[str, int] = field(default_factory=dict)

    @property
    def primary(self) -> Any:
        return next(field for field in self.schema.fields if field.is_primary_key)

    def rows(self, expression: str = "") -> list[Row]:
        """Those that match, each with its key, as often as it was inserted."""
        held = [row_of(key, self.schema) | self.written.get(key, {}) for key in self.keys]
        return [row for row in held if matches(expression, row)]

    def write(self, keys: Sequence[Any], request: Any) -> None:
        self.keys += keys
        self.written.update(zip(keys, rows_of(request), strict=True))

    def become(self, states: Sequence[State]) -> None:
        self.now, self.to_come = states[0], list(states)

    def look(self) -> State:
        if self.to_come:
            self.now = self.to_come.pop(0)
        return self.now


SILENCE = 30.0
"""Seconds that stand for ever: a caller without any patience of its own fails its test instead of hanging it."""


class NoSuchCollectionError(Exception):
    """The model has no collection of the request's name."""


Step = Callable[["ScriptedMilvus", Any, Any], Any]
"""Given the server, the request and gRPC's context: the answer, or ``None`` for the model's own."""


def refuse(code: int, reason: str) -> Step:
    return lambda server, request, context: Refusal(code, reason)


def abort(status: str, details: str = "") -> Step:
    """End the call as gRPC does, with ``UNAUTHENTICATED`` for example."""

    def step(server: ScriptedMilvus, request: Any, context: Any) -> None:
        import grpc

        context.abort(grpc.StatusCode[status], details)

    return step


def slow(seconds: float) -> Step:
    def step(server: ScriptedMilvus, request: Any, context: Any) -> None:
        server.pause(seconds, context)

    return step


def never_answer(server: ScriptedMilvus, request: Any, context: Any) -> None:
    server.pause(SILENCE, context)


def unanswered(server: ScriptedMilvus, request: Any, context: Any) -> Any:
    """Carry the call out, but do not answer."""
    answer = server.carry_out(request)
    server.pause(SILENCE, context)
    return answer


def lost(server: ScriptedMilvus, request: Any, context: Any) -> None:
    """Carry the call out, and break the connection in place of an answer."""
    import grpc

    server.carry_out(request)
    context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")


def no_change(server: ScriptedMilvus, request: Any, context: Any) -> None:
    """The model's own answer; for a step that is to come later."""


def change(action: Callable[[], object]) -> Step:
    """Something happens on the server just before it answers."""

    def step(server: ScriptedMilvus, request: Any, context: Any) -> None:
        action()

    return step


class ScriptedMilvus:
    """Serve on a port of the loopback interface between ``start`` and ``stop``; it can be started again."""

    def __init__(self, dialect: Dialect = DIALECTS["2.3.5"]) -> None:
        import_pymilvus()
        self.dialect = dialect
        (self.port,) = free_ports(1)
        self.collections: dict[str, Collection] = {}
        self.databases = {"default": Database(0)}
        self.resource_groups = {DEFAULT_GROUP, "rg_a", "rg_b", "rg_c"}
        self._numbered = FIRST_ID
        self._generated = GENERATED
        self.loads = 0
        self.imports: list[dict[str, Any]] = []
        """Fields of ``GetImportStateResponse``, with the name of the collection."""
        self.latency = 0.0
        """Seconds that each call takes at least."""
        self.version = dialect.build
        self.grants: set[str] | None = None
        """The privileges of whoever calls, such as ``Release``, or ``Release on docs`` for one collection; ``None``: all."""
        self.calls: list[ReceivedCall] = []
        self._steps: defaultdict[str, deque[Step]] = defaultdict(deque)
        self._always: dict[str, Step] = {}
        self.lock = threading.RLock()
        self._stopping = threading.Event()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        import grpc

        self._stopping = threading.Event()
        # A call that is slow holds one.
        self._workers = ThreadPoolExecutor(max_workers=128)
        self._server = grpc.server(self._workers, options=[("grpc.so_reuseport", 0), *LARGE_MESSAGES])
        self._server.add_generic_rpc_handlers([MilvusHandler(self.answer)])
        self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        self._stopping.set()
        self._server.stop(grace=0).wait()
        self._workers.shutdown()

    @contextmanager
    def outage(self, seconds: float) -> Iterator[None]:
        """Stop for these seconds. The block may change what the server is like afterwards."""
        self.stop()
        yield
        time.sleep(seconds)
        self.start()

    def add(self, name: str, *states: State, **more: Any) -> Collection:
        self._numbered += 1
        added = self.collections[name] = Collection(number=self._numbered, **more)
        added.become(states or [NOT_LOADED])
        self.count_load(added)
        return added

    def add_database(self, name: str) -> Database:
        self._numbered += 1
        added = self.databases[name] = Database(self._numbered)
        return added

    def count_load(self, collection: Collection) -> None:
        self.loads += 1
        collection.load = self.loads

    def next(self, rpc: str, *steps: Step) -> None:
        """Play one of ``steps`` for each of the next calls of ``rpc``; then the model answers again."""
        self._steps[rpc].extend(steps)

    def always(self, rpc: str, step: Step) -> None:
        """Play ``step`` for every call of ``rpc`` that has no step of its own."""
        self._always[rpc] = step

    def received(self, rpc: str) -> list[ReceivedCall]:
        return [call for call in self.calls if call.name == rpc]

    def pause(self, seconds: float, context: Any) -> None:
        """Wait, but no longer than the caller does, nor than this server runs."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and context.is_active() and not self._stopping.wait(0.02):
            pass

    def answer(self, rpc: str, request: Any, context: Any) -> Any:
        if self.latency:
            self.pause(self.latency, context)
        left = context.time_remaining()
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        with self.lock:
            # Without a deadline gRPC counts to the end of time.
            self.calls.append(ReceivedCall(rpc, request, metadata, left if left is not None and left < 1e6 else None))
            steps = self._steps[rpc]
            step = steps.popleft() if steps else self._always.get(rpc)
        needed = self.dialect.privilege_of(rpc)
        if needed and not self._is_granted(needed, request):
            abort("PERMISSION_DENIED", f"Privilege{needed}: permission deny to u in the `default` database")(
                self, request, context
            )
        answer = step(self, request, context) if step is not None else None
        return answer if answer is not None else self.carry_out(request)

    def _is_granted(self, needed: str, request: Any) -> bool:
        # Everybody may ask for the own roles and their grants.
        if self.grants is None or needed in (*self.grants, "SelectOwnership", "SelectUser"):
            return True
        named = list(getattr(request, "collection_names", ())) or [getattr(request, "collection_name", "")]
        return all(f"{needed} on {name}" in self.grants for name in named)

    def carry_out(self, request: Any) -> Any:
        """The model's answer: fields of the response, a refusal, or ``NotImplemented``."""
        rpc = type(request).__name__.removesuffix("Request")
        act = getattr(self, "_on" + re.sub(r"(?=[A-Z])", "_", rpc).lower(), None)
        if act is None:
            return NotImplemented
        database = getattr(request, "db_name", "") or "default"
        with self.lock:
            # 2.3.5 notices a missing database in a listing only; elsewhere it blames the collection.
            notices = {"ShowCollections", *(["DescribeCollection"] if self.dialect.describes_database else [])}
            if rpc in notices and database not in self.databases:
                return Refusal(800, f"database not found[database={database}]")
            try:
                return act(request)
            except NoSuchCollectionError:
                if rpc == "DescribeCollection":
                    return self.dialect.is_missing(database, request.collection_name)
                name = getattr(request, "collection_name", "") or getattr(request, "alias", "")
                return Refusal(100, f"collection not found[database={database}][collection={name}]", 4)

    def _find(self, request: Any) -> Collection | None:
        database = getattr(request, "db_name", "") or "default"
        return self.collections.get(self._real(request.collection_name)) if database in self.databases else None

    def _collection(self, request: Any) -> Collection:
        collection = self._find(request)
        if collection is None:
            raise NoSuchCollectionError
        return collection

    def _named(self, name: str) -> Collection:
        collection = self.collections.get(self._real(name))
        if collection is None:
            raise NoSuchCollectionError
        return collection

    def _real(self, name: str) -> str:
        if name in self.collections:
            return name
        return next((real for real, collection in self.collections.items() if name in collection.aliases), name)

    def _on_connect(self, request: Any) -> dict[str, Any]:
        return {"identifier": 1, "server_info": {"build_tags": self.version}}

    def _on_get_version(self, request: Any) -> dict[str, Any]:
        return {"version": self.version}

    def _on_check_health(self, request: Any) -> dict[str, Any]:
        return {"isHealthy": True}

    def _on_get_metrics(self, request: Any) -> dict[str, Any]:
        """The nodes, as a cluster lists them: of the proxies only the one that answers, and no memory."""
        nodes = [{"infos": {"type": kind, "system_info": {"deploy_mode": "CLUSTER"}}} for kind in ("proxy", "querynode")]
        return {"response": json.dumps({"nodes_info": nodes})}

    def _on_create_database(self, request: Any) -> Any:
        if request.db_name in self.databases:
            return Refusal(65535, f"database already exist: {request.db_name}")
        self.add_database(request.db_name).properties = {item.key: item.value for item in request.properties}
        return {}

    def _on_drop_database(self, request: Any) -> Any:
        if any(collection.database == request.db_name for collection in self.collections.values()):
            return Refusal(65535, f"{request.db_name} not empty, must drop all collections before drop database")
        self.databases.pop(request.db_name, None)
        return {}

    def _on_list_databases(self, request: Any) -> dict[str, Any]:
        made = (
            [MADE + self.databases[name].number % FIRST_ID for name in sorted(self.databases)] if self.dialect.tells_ids else []
        )
        return {"db_names": sorted(self.databases), "created_timestamp": made}

    def _on_describe_database(self, request: Any) -> Any:
        if not self.dialect.describes_database:
            return NotImplemented
        if request.db_name not in self.databases:
            return Refusal(800, f"database not found[database={request.db_name}]")
        database = self.databases[request.db_name]
        properties = [{"key": key, "value": value} for key, value in database.properties.items()]
        return {"db_name": request.db_name, "dbID": database.number, "properties": properties}

    def _on_alter_database(self, request: Any) -> Any:
        if not self.dialect.describes_database:
            return NotImplemented
        if request.db_name not in self.databases:
            return Refusal(800, f"database not found[database={request.db_name}]")
        properties = self.databases[request.db_name].properties
        properties.update({item.key: item.value for item in request.properties})
        for key in request.delete_keys:
            properties.pop(key, None)
        return {}

    def _on_rename_collection(self, request: Any) -> Any:
        if request.oldName not in self.collections:
            raise NoSuchCollectionError
        if self._real(request.newName) in self.collections:
            return Refusal(65535, f"duplicated new collection name {request.newName} with other collection name or alias")
        self.collections[request.newName] = self.collections.pop(request.oldName)
        if (schema := self.collections[request.newName].schema) is not None:
            schema.name = request.newName
        return {}

    def _on_select_user(self, request: Any) -> Any:
        if self.grants is None:
            # Of a user that there is not: the server lets everybody in.
            return {}
        return {"results": [{"user": {"name": request.user.name}, "roles": [{"name": "narrow"}]}]}

    def _on_select_grant(self, request: Any) -> Any:
        granted = []
        for privilege, _, name in (grant.partition(" on ") for grant in sorted(self.grants or ())):
            what = {"object": {"name": kind_of(privilege)}, "object_name": name or "*", "db_name": "default"}
            granted.append({**what, "role": {"name": "narrow"}, "grantor": {"privilege": {"name": privilege}}})
        return {"entities": granted if request.entity.role.name == "narrow" else []}

    def _on_show_collections(self, request: Any) -> dict[str, Any]:
        if self.grants is not None and not self.grants - {"ListDatabases"}:
            # From 2.4 on a user sees what he has grants on, and nobody is told that there is more.
            return {}
        for name in request.collection_names:
            if self._real(name) not in self.collections:
                return Refusal(100, f"collection not found[collection={name}]", 4)
        look = (lambda each: each.look()) if request.type == 1 else (lambda each: each.now)
        database = request.db_name or "default"
        theirs = {name: collection for name, collection in self.collections.items() if collection.database == database}
        seen = {name: look(collection) for name, collection in theirs.items()}
        loaded = {name: percent for name, (state, percent) in seen.items() if state != "NotLoad"}
        # Lite lists what is not in memory too, with 0.
        in_memory = loaded if self.dialect.tells_ids else {**dict.fromkeys(theirs, 0), **loaded}
        listed = in_memory if request.type == 1 else dict.fromkeys(theirs, 0)
        return {
            "collection_names": list(listed),
            "inMemory_percentages": list(listed.values()) if request.type == 1 else [],
            **(self._identities(listed) if self.dialect.tells_ids else {}),
        }

    def _identities(self, names: Iterable[str]) -> dict[str, Any]:
        numbers = [self.collections[name].number for name in names]
        return {
            "collection_ids": numbers,
            "created_timestamps": [0] * len(numbers),
            "created_utc_timestamps": [MADE + number % FIRST_ID for number in numbers],
        }

    def _on_has_collection(self, request: Any) -> dict[str, Any]:
        return {"value": self._find(request) is not None}

    def _on_describe_collection(self, request: Any) -> Any:
        collection = self._collection(request)
        name = self._real(request.collection_name)
        properties = [{"key": key, "value": value} for key, value in collection.properties.items()]
        return {
            "collection_name": request.collection_name,
            "schema": collection.schema or {"name": name},
            "properties": properties,
            **({"aliases": collection.aliases} if self.dialect.tells_ids else {}),
            **({"collectionID": collection.number} if self.dialect.tells_ids else {}),
            **({"created_utc_timestamp": MADE + collection.number % FIRST_ID} if self.dialect.tells_ids else {}),
        }

    def _on_batch_describe_collection(self, request: Any) -> Any:
        if not self.dialect.describes_many:
            return NotImplemented
        from pymilvus.grpc_gen import milvus_pb2

        asked = [
            milvus_pb2.DescribeCollectionRequest(db_name=request.db_name, collection_name=name)
            for name in request.collection_name
        ]
        return {"responses": [as_response(milvus_pb2.DescribeCollectionResponse(), self.carry_out(one)) for one in asked]}

    def _on_alter_collection(self, request: Any) -> Any:
        if not self.dialect.keeps_properties:
            return NotImplemented
        collection = self._collection(request)
        collection.properties.update({item.key: item.value for item in request.properties})
        return {}

    def _on_get_collection_statistics(self, request: Any) -> dict[str, Any]:
        return {"stats": [{"key": "row_count", "value": "0"}]}

    def _on_show_partitions(self, request: Any) -> Any:
        collection = self._collection(request)
        held = collection.partitions if request.type != 1 or collection.now[0] != "NotLoad" else {}
        return {"partition_names": list(held), **({"partitionIDs": list(held.values())} if self.dialect.tells_ids else {})}

    def _on_create_partition(self, request: Any) -> Any:
        self._numbered += 1
        self._collection(request).partitions.setdefault(request.partition_name, self._numbered)
        return {}

    def _on_drop_partition(self, request: Any) -> Any:
        collection = self._collection(request)
        if collection.now[0] != "NotLoad":
            return Refusal(65535, "partition cannot be dropped, partition is loaded, please release it first")
        collection.partitions.pop(request.partition_name, None)
        return {}

    def _on_get_partition_statistics(self, request: Any) -> Any:
        rows = self._collection(request).partition_rows.get(request.partition_name, 0)
        return {"stats": [{"key": "row_count", "value": str(rows)}]}

    def _on_get_load_state(self, request: Any) -> Any:
        collection = self._find(request)
        if collection is not None and collection.failed and self.dialect.remembers_failure:
            return Refusal(3, f"show collection failed: {collection.failed}", 52)
        return {"state": STATES.index(collection.look()[0] if collection else "NotExist")}

    def _on_get_loading_progress(self, request: Any) -> Any:
        collection = self._collection(request)
        if collection.failed and self.dialect.remembers_failure:
            return Refusal(3, f"show collection failed: {collection.failed}", 52)
        if collection.now[0] == "NotLoad":
            return Refusal(101, f"collection not loaded[collection={collection.number}] {collection.failed}".strip())
        return {"progress": collection.now[1], "refresh_progress": collection.refresh_progress}

    def _on_load_collection(self, request: Any) -> Any:
        collection = self._collection(request)
        number = request.replica_number or 1
        if collection.schema is not None and not collection.indexes:
            return Refusal(700, f"index not found[collection={request.collection_name}]", 25)
        if missing := set(request.resource_groups) - self.resource_groups:
            return Refusal(300, f"resource group not found[rg={missing.pop()}]")
        if request.refresh and collection.now[0] == "NotLoad":
            return Refusal(101, f"collection not loaded[collection={collection.number}]")
        if collection.now[0] == "NotLoad":
            collection.failed = collection.no_room
            collection.become([NOT_LOADED] if collection.no_room else collection.on_load)
            self.count_load(collection)
        elif request.refresh:
            return {}
        elif not self.dialect.load_updates:
            if request.replica_number not in (0, len(collection.groups)):
                return Refusal(1100, "can't change the replica number for loaded collection: invalid parameter")
            return {}
        groups = list(request.resource_groups) or [DEFAULT_GROUP]
        collection.groups = groups if len(groups) > 1 else groups * number
        collection.load_fields = list(request.load_fields)
        return {}

    def _on_load_partitions(self, request: Any) -> Any:
        return self._no_partition(request) or self._on_load_collection(request)

    def _on_release_partitions(self, request: Any) -> Any:
        return self._no_partition(request) or self._on_release_collection(request)

    def _no_partition(self, request: Any) -> Any:
        if not self.dialect.has_parts:
            return NotImplemented
        missing = set(request.partition_names) - self._collection(request).partitions.keys()
        return Refusal(200, f"partition not found[partition={missing.pop()}]", 15) if missing else None

    def _on_get_replicas(self, request: Any) -> Any:
        if not self.dialect.has_parts:
            return NotImplemented
        collection = self._collection(request)
        if collection.now[0] == "NotLoad":
            return self.dialect.no_replicas or {}
        return {
            "replicas": [
                {"replicaID": collection.load * 100 + number, "resource_group_name": name}
                for number, name in enumerate(collection.groups)
            ]
        }

    def _on_flush(self, request: Any) -> dict[str, Any]:
        """A segment for all rows, whose number is the collection's."""
        flushed = {name: self._named(name) for name in request.collection_names}
        for collection in flushed.values():
            collection.flushed = len(collection.keys)
        if not self.dialect.has_parts:
            return {}
        return {
            "coll_segIDs": {name: {"data": [collection.number]} for name, collection in flushed.items()},
            "coll_flush_ts": dict.fromkeys(flushed, MADE),
        }

    def _on_get_flush_state(self, request: Any) -> dict[str, Any]:
        return {"flushed": True}

    def _on_manual_compaction(self, request: Any) -> dict[str, Any]:
        return {"compactionID": 1, "compactionPlanCount": 1}

    def _on_get_compaction_state(self, request: Any) -> dict[str, Any]:
        return {"state": "Completed", "completedPlanNo": 1}

    def _on_get_persistent_segment_info(self, request: Any) -> Any:
        return self._segments(request, 0)

    def _on_get_query_segment_info(self, request: Any) -> Any:
        return self._segments(request, 1)

    def _segments(self, request: Any, in_memory: int) -> Any:
        if not self.dialect.has_parts:
            return NotImplemented
        collection = self.collections[self._real(request.collectionName)]
        served = {"nodeIds": range(len(collection.groups))} if in_memory else {"state": "Flushed"}
        is_there = collection.flushed and (not in_memory or collection.now[0] == "Loaded")
        return {"infos": [{"segmentID": collection.number, "num_rows": collection.flushed, **served}] if is_there else []}

    def _on_release_collection(self, request: Any) -> Any:
        collection = self._collection(request)
        collection.become(collection.on_release)
        return {}

    def _on_create_collection(self, request: Any) -> Any:
        from pymilvus.grpc_gen import schema_pb2

        if request.collection_name in self.collections:
            return Refusal(65535, "create duplicate collection with different parameters")
        schema = schema_pb2.CollectionSchema.FromString(request.schema)
        properties = {item.key: item.value for item in request.properties}
        self.add(request.collection_name, schema=schema, properties=properties, database=request.db_name or "default")
        return {}

    def _on_create_index(self, request: Any) -> Any:
        collection = self._collection(request)
        if any(index["field_name"] == request.field_name for index in collection.indexes):
            return Refusal(65535, "CreateIndex failed: at most one distinct index is allowed per field")
        name = request.index_name or request.field_name
        collection.indexes.append(
            {"index_name": name, "field_name": request.field_name, "params": list(request.extra_params), "state": 3}
        )
        return {}

    def _on_describe_index(self, request: Any) -> Any:
        collection = self._collection(request)
        if not collection.indexes:
            return Refusal(700, f"index not found[collection={request.collection_name}]", 25)
        return {"index_descriptions": collection.indexes}

    def _on_drop_index(self, request: Any) -> Any:
        collection = self._collection(request)
        collection.indexes = [index for index in collection.indexes if index["index_name"] != request.index_name]
        return {}

    def _on_create_alias(self, request: Any) -> Any:
        if request.alias in self.collections:
            return Refusal(1601, f"alias and collection name conflict[alias={request.alias}]")
        if self._real(request.alias) not in (request.alias, request.collection_name):
            return Refusal(1602, f"alias already exist[alias={request.alias}]")
        return self._point(request)

    def _on_alter_alias(self, request: Any) -> Any:
        if self._real(request.alias) == request.alias:
            if not self.dialect.tells_ids:
                raise NoSuchCollectionError
            return Refusal(1600, f"alias not found[alias={request.alias}]")
        return self._point(request)

    def _point(self, request: Any) -> Any:
        if request.collection_name not in self.collections:
            raise NoSuchCollectionError
        for name, collection in self.collections.items():
            collection.aliases = [alias for alias in collection.aliases if alias != request.alias]
            if name == request.collection_name:
                collection.aliases.append(request.alias)
        return {}

    def _on_drop_alias(self, request: Any) -> dict[str, Any]:
        for collection in self.collections.values():
            collection.aliases = [alias for alias in collection.aliases if alias != request.alias]
        return {}

    def _on_drop_collection(self, request: Any) -> Any:
        if self._real(request.collection_name) != request.collection_name:
            return Refusal(self.dialect.drop_through_alias, f"cannot drop the collection via alias = {request.collection_name}")
        self.collections.pop(request.collection_name, None)
        return {}

    def _on_import(self, request: Any) -> Any:
        """Three rows for each file, with new keys."""
        self._collection(request).keys += self._new_keys(3)
        files = {"key": "files", "value": ",".join(request.files)}
        self.imports.append({"id": len(self.imports) + 1, "state": 6, "row_count": 3, "infos": [files]})
        self.imports[-1]["collection_name"] = self._real(request.collection_name)
        return {"tasks": [self.imports[-1]["id"]]}

    def _on_list_import_tasks(self, request: Any) -> Any:
        asked = [task for task in self.imports if task["collection_name"] == self._real(request.collection_name)]
        return {"tasks": [{key: value for key, value in task.items() if key != "collection_name"} for task in asked]}

    def _on_create_snapshot(self, request: Any) -> Any:
        collection = self._collection(request)
        if request.name in collection.snapshots:
            return Refusal(65535, f"snapshot already exists[snapshot={request.name}]")
        collection.snapshots[request.name] = list(collection.keys)
        return {}

    def _on_list_snapshots(self, request: Any) -> Any:
        return {"snapshots": list(self._collection(request).snapshots)}

    def _on_describe_snapshot(self, request: Any) -> Any:
        self._collection(request)
        return {"name": request.name, "collection_name": self._real(request.collection_name), "create_ts": MADE}

    def _on_restore_snapshot(self, request: Any) -> Any:
        collection = self._collection(request)
        if request.target_collection_name in self.collections:
            return Refusal(65535, f"collection already exists[collection={request.target_collection_name}]")
        if request.name not in collection.snapshots:
            return Refusal(65535, f"snapshot not found[snapshot={request.name}]")
        indexes, keys = list(collection.indexes), collection.snapshots[request.name]
        self.add(request.target_collection_name, schema=collection.schema, keys=list(keys), indexes=indexes)
        return {"job_id": 1}

    def _on_get_restore_snapshot_state(self, request: Any) -> dict[str, Any]:
        return {"info": {"job_id": request.job_id, "state": 3, "progress": 100}}

    def _on_truncate_collection(self, request: Any) -> Any:
        if not self.dialect.truncates:
            return NotImplemented
        self._collection(request).keys = []
        return {}

    def _on_list_aliases(self, request: Any) -> dict[str, Any]:
        asked = {request.collection_name} if request.collection_name else self.collections.keys()
        collections = [collection for name, collection in self.collections.items() if name in asked]
        return {"aliases": [alias for collection in collections for alias in collection.aliases]}

    def _on_describe_alias(self, request: Any) -> Any:
        real = self._real(request.alias)
        if real == request.alias:
            if not self.dialect.tells_ids:
                raise NoSuchCollectionError
            return Refusal(1600, f"alias not found[alias={request.alias}]")
        return {"alias": request.alias, "collection": real}

    def _on_insert(self, request: Any) -> dict[str, Any]:
        collection = self._find(request)
        if collection is None or collection.schema is None:
            return {"insert_cnt": request.num_rows, "IDs": {"int_id": {"data": range(request.num_rows)}}}
        generated = collection.primary.autoID
        keys = self._new_keys(request.num_rows) if generated else keys_of(request, collection.primary.name)
        collection.write(keys, request)
        return {"insert_cnt": len(keys)}

    def _new_keys(self, count: int) -> list[int]:
        self._generated += count
        return list(range(self._generated - count, self._generated))

    def _on_upsert(self, request: Any) -> Any:
        collection = self._collection(request)
        keys = keys_of(request, collection.primary.name)
        if self.dialect.refuses_duplicates and len(set(keys)) < len(keys):
            return Refusal(1100, "duplicate primary keys are not allowed in the same batch: invalid parameter")
        collection.keys = [key for key in collection.keys if key not in set(keys)]
        collection.write(keys, request)
        return {"upsert_cnt": len(keys)}

    def _on_delete(self, request: Any) -> Any:
        collection = self._collection(request)
        gone = {row[collection.primary.name] for row in collection.rows(request.expr)}
        collection.keys = [key for key in collection.keys if key not in gone]
        return {"delete_cnt": len(gone)}

    def _on_query(self, request: Any) -> Any:
        """A count of the rows that match, or those with the smallest keys."""
        collection = self._collection(request)
        if collection.now[0] != "Loaded":
            return Refusal(101, f"collection not loaded[collection={request.collection_name}]")
        matching = collection.rows(request.expr)
        if list(request.output_fields) == ["count(*)"]:
            counted = {"long_data": {"data": [len(matching)]}}
            return {"fields_data": [{"type": 5, "field_name": "count(*)", "scalars": counted}]}
        by_key = {row[collection.primary.name]: row for row in matching}
        limit = next((int(item.value) for item in request.query_params if item.key == "limit"), len(by_key))
        rows = [by_key[key] for key in sorted(by_key)[:limit]]
        return {"fields_data": as_fields(rows, collection.schema, self._wanted(collection, request))}

    def _on_search(self, request: Any) -> Any:
        from pymilvus.grpc_gen import common_pb2

        collection = self._collection(request)
        if collection.now[0] != "Loaded":
            return Refusal(101, f"collection not loaded[collection={request.collection_name}]")
        asked = {item.key: item.value for item in request.search_params}
        (queries,) = common_pb2.PlaceholderGroup.FromString(request.placeholder_group).placeholders
        rows = list({row[collection.primary.name]: row for row in collection.rows(request.dsl)}.values())
        hits = [nearest(rows, asked["anns_field"], vector, int(asked["topk"])) for vector in queries.values]
        found = [row for of_query in hits for _, row in of_query]
        keys = [row[collection.primary.name] for row in found]
        kind = "str_id" if collection.primary.data_type == 21 else "int_id"
        results = {
            "num_queries": len(hits),
            "ids": {kind: {"data": keys}},
            "scores": [distance for of_query in hits for distance, _ in of_query],
            "topks": [len(of_query) for of_query in hits],
            "fields_data": as_fields(found, collection.schema, self._wanted(collection, request)),
        }
        return {"results": results}

    @staticmethod
    def _wanted(collection: Collection, request: Any) -> list[str]:
        every = [*(field.name for field in collection.schema.fields), "$meta"]
        return [name for asked in request.output_fields for name in (every if asked == "*" else [asked])]


def collection_schema(name: str, schema: Mapping[str, Any]) -> Any:
    """The ``CollectionSchema`` of a schema as a DAG author writes it."""
    from pymilvus.grpc_gen import schema_pb2

    return schema_pb2.CollectionSchema.FromString(schema_bytes(name, Schema.of(schema)))


@contextmanager
def scripted_server(dialect: Dialect = DIALECTS["2.3.5"]) -> Iterator[ScriptedMilvus]:
    server = ScriptedMilvus(dialect)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def silent_port() -> Iterator[str]:
    """The address of a port that accepts connections and never sends a byte."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def refused_port() -> Iterator[str]:
    """The address of a port that refuses connections; it is held, so that nobody else begins to listen on it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"
