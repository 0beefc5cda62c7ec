"""A real Milvus 2.3.5 that answers as a later version does, where they differ: its rows, loads and indexes are real.

It stands in front of the server and hands on every call. What it changes is the dialect's, as for the stand-in.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
from dev.servers.dialects import Dialect, Refusal
from dev.servers.process import free_ports
from dev.servers.rpc import LARGE_MESSAGES, MilvusHandler, keys_of

_NOT_FOUND, _NO_REPLICA, _UNEXPECTED = 100, 400, 65535


class TranslatedMilvus:
    """Serve what the server at ``uri`` answers, in ``dialect``, between ``start`` and ``stop``."""

    def __init__(self, uri: str, dialect: Dialect) -> None:
        import_pymilvus()
        self.dialect = dialect
        self._behind = uri.partition("://")[2]
        (self.port,) = free_ports(1)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        import grpc

        self._channel = grpc.insecure_channel(self._behind, options=LARGE_MESSAGES)
        self._workers = ThreadPoolExecutor(max_workers=32)
        self._server = grpc.server(self._workers, options=[("grpc.so_reuseport", 0), *LARGE_MESSAGES])
        self._server.add_generic_rpc_handlers([MilvusHandler(self.answer)])
        self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        self._server.stop(grace=0).wait()
        self._workers.shutdown()
        self._channel.close()

    def answer(self, rpc: str, request: Any, context: Any) -> Any:
        import grpc

        metadata = [pair for pair in context.invocation_metadata() if not pair[0].startswith(("grpc-", "user-agent"))]
        left = min(context.time_remaining() or 60, 600)

        def ask(name: str, **fields: Any) -> Any:
            from pymilvus.grpc_gen import milvus_pb2

            return self._send(name, getattr(milvus_pb2, f"{name}Request")(**fields), left, metadata)

        try:
            return self._refusal(rpc, request, ask) or self._translated(
                rpc, request, self._send(rpc, request, left, metadata), ask
            )
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())

    def _send(self, rpc: str, request: Any, timeout: float, metadata: Any) -> Any:
        method = MilvusHandler.methods()[rpc]
        call = self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{rpc}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=method.output_type._concrete_class.FromString,
        )
        return call(request, timeout=timeout, metadata=metadata)

    def _refusal(self, rpc: str, request: Any, ask: Any) -> Refusal | None:
        """What the version refuses, and 2.3.5 does not."""
        if rpc == "Upsert" and self.dialect.refuses_duplicates:
            described = ask("DescribeCollection", db_name=request.db_name, collection_name=request.collection_name)
            primary = next((field for field in described.schema.fields if field.is_primary_key), None)
            keys = keys_of(request, primary.name) if primary is not None else []
            if len(keys) != len(set(keys)):
                return Refusal(1100, "duplicate primary keys are not allowed in the same batch: invalid parameter")
        return None

    def _translated(self, rpc: str, request: Any, answer: Any, ask: Any) -> Any:
        if rpc == "GetVersion":
            answer.version = f"v{self.dialect.version}"
        if rpc == "Connect":
            answer.server_info.build_tags = f"v{self.dialect.version}"
        code = getattr(answer, "status", answer).code
        if code == _NOT_FOUND and rpc != "ShowCollections":
            database = getattr(request, "db_name", "") or "default"
            if self.dialect.describes_database and database not in ask("ListDatabases").db_names:
                return Refusal(800, f"database not found[database={database}]")
            if rpc == "DescribeCollection":
                return self.dialect.is_missing(database, request.collection_name)
        if code == _NO_REPLICA and self.dialect.no_replicas is None:
            return {}
        if code == _UNEXPECTED and rpc == "DropCollection" and "via alias" in answer.reason:
            return Refusal(self.dialect.drop_through_alias, answer.reason)
        return answer


@contextmanager
def translated_server(uri: str, dialect: Dialect) -> Iterator[TranslatedMilvus]:
    server = TranslatedMilvus(uri, dialect)
    server.start()
    try:
        yield server
    finally:
        server.stop()
