"""``MilvusHook``: an Airflow connection becomes a client whose every call ends in time."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_milvus.exceptions import MilvusConfigurationError, MilvusError, MilvusMetricsError
from airflow_provider_milvus.hooks.connections import fetch, fetch_shared
from airflow_provider_milvus.kinds import check_name, check_seconds
from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_milvus.client.client import AsyncBoundedClient, BoundedClient
    from airflow_provider_milvus.client.connection import ConnectionSettings
    from airflow_provider_milvus.client.flow import Deadline
    from airflow_provider_milvus.client.shared import SharedClient
    from airflow_provider_milvus.metrics import MetricsSource

log = logging.getLogger(__name__)

TEST_TIMEOUT = 4.0
"""Seconds for a test of the connection, which runs inside Airflow's API server."""
SHORTEST_TEST = 0.5
"""Seconds that the metrics have in a test, however long the server took."""


class MilvusHook(BaseHook):
    """Connect to one database of one Milvus, with the credentials of an Airflow connection.

    .. code-block:: python

        from airflow_provider_milvus.hooks.milvus import MilvusHook

        with MilvusHook("milvus_default", timeout=30).client() as client:
            print(client.list_collections(), client.get_load_state("docs"))

    A new hook sends nothing: it fetches the connection when its first client is made, and imports pymilvus with its first call.

    :param milvus_conn_id: the connection, of type ``milvus``.
    :param database: the database; None: the connection's, which is Milvus's ``default`` unless it names another.
    :param timeout: seconds for one operation as a whole: connecting, every attempt and all waiting. None: the connection's
        ``timeout``, which is 60 unless it says otherwise.
    :raises MilvusInvalidArgumentError: a timeout or a database that can never work.
    """

    conn_name_attr = "milvus_conn_id"
    default_conn_name = "milvus_default"
    conn_type = "milvus"
    hook_name = "Milvus"

    def __init__(
        self,
        milvus_conn_id: str = default_conn_name,
        database: str | None = None,
        timeout: float | None = None,
    ) -> None:
        super().__init__()
        self.milvus_conn_id = milvus_conn_id
        self.database = database if database is None else check_name("database", database)
        self.timeout = None if timeout is None else check_seconds("timeout", timeout)
        self._settings: ConnectionSettings | None = None

    @property
    def settings(self) -> ConnectionSettings:
        """The connection's settings, checked. A hook fetches them once.

        :raises MilvusConfigurationError: a setting is unknown, malformed or contradicts another.
        """
        if self._settings is None:
            self._use(self._read(fetch(self.milvus_conn_id)))
            assert self._settings is not None
            log.info("%s.", self._settings.where)
        assert self._settings is not None
        return self._settings

    @property
    def known_settings(self) -> ConnectionSettings | None:
        """The settings as they were fetched; None where nobody has asked for them yet."""
        return self._settings

    @property
    def operation_timeout(self) -> float:
        """Seconds that one operation may take: this hook's ``timeout``, or else the connection's."""
        return self.timeout or self.settings.timeout

    def deadline(self) -> Deadline:
        """The deadline of one operation that starts now. Make the client first: its first import takes seconds."""
        from airflow_provider_milvus.client.flow import Deadline

        return Deadline(self.operation_timeout)

    def get_conn(self) -> BoundedClient:
        """A client with a channel of its own, which the caller closes; :meth:`client` closes it itself.

        :raises MilvusConfigurationError: the connection cannot be used.
        """
        from airflow_provider_milvus.client.channel import check_lite_is_installed
        from airflow_provider_milvus.client.client import BoundedClient

        check_lite_is_installed(self.settings.uri)
        _import_protocol()
        return BoundedClient(self.settings, self.operation_timeout)

    def metrics(self) -> MetricsSource | None:
        """Where this Milvus's metrics are read; ``None`` when the connection has no ``metrics_url``.

        Each answer may take the connection's ``connect_timeout``, and 10 seconds at most.
        """
        settings = self.settings
        if not settings.metrics_url:
            return None
        from airflow_provider_milvus.metrics import metrics_source

        timeout = min(10.0, settings.connect_timeout)
        url = settings.metrics_url.get_secret_value()
        return metrics_source(url, matchers=settings.metrics_matchers, timeout=timeout, tls=settings.tls)

    def needed_metrics(self) -> MetricsSource:
        """Where this Milvus's metrics are read.

        :raises MilvusConfigurationError: the connection has no ``metrics_url``.
        """
        metrics = self.metrics()
        if metrics is None:
            raise MilvusConfigurationError(
                f"Connection {self.milvus_conn_id!r} has no metrics_url, and only the metrics count searches: set it to "
                "the base URL of the Prometheus that scrapes this Milvus, or to Milvus's own pages that end in /metrics."
            )
        return metrics

    @contextmanager
    def client(self) -> Iterator[BoundedClient]:
        """A client with the methods of pymilvus's ``MilvusClient``, which is closed when the block ends.

        .. code-block:: python

            from airflow_provider_milvus.hooks.milvus import MilvusHook

            with MilvusHook().client() as client:
                print(client.describe_collection("docs", timeout=5)["fields"])

        A call takes at most its ``timeout`` in seconds, by default the hook's, which is also the most.

        :raises MilvusConfigurationError: the connection cannot be used.
        :raises MilvusError: from each call, of a kind in ``airflow_provider_milvus.exceptions``; never a raw gRPC error.
        """
        with self.get_conn() as client:
            yield client

    @asynccontextmanager
    async def async_client(self) -> AsyncIterator[AsyncBoundedClient]:
        """The same with the methods of pymilvus's ``AsyncMilvusClient``, for the event loop in which it is opened.

        .. code-block:: python

            import asyncio

            from airflow_provider_milvus.hooks.milvus import MilvusHook


            async def list_collections():
                async with MilvusHook().async_client() as client:
                    return await client.list_collections()


            print(asyncio.run(list_collections()))
        """
        import asyncio

        from airflow_provider_milvus.client.client import AsyncBoundedClient

        await self._prepare()
        await asyncio.to_thread(import_pymilvus)
        async with AsyncBoundedClient(self.settings, self.operation_timeout) as client:
            yield client

    def query(self, collection_name: str, *, limit: int | None = 100, **asked: Any) -> list[dict[str, Any]]:
        """The first 100 rows that match ``filter`` or have some ``ids``, by their keys or ``order_by``, within ``timeout``.

        .. code-block:: python

            from airflow_provider_milvus.hooks.milvus import MilvusHook

            print(MilvusHook().query("docs", filter="id > 7", output_fields=["id"], limit=10))

        :param limit: with ``None`` all are held in memory. ``search/query.py`` tells of the others, and of the errors.
        """
        from airflow_provider_milvus.search.query import query

        rows: list[dict[str, Any]] = []
        reading = query(collection_name, limit=limit, **asked, take=lambda answer: rows.extend(answer.rows()))
        with self.client() as client:
            client.run(reading, self.deadline())
        return rows

    def search(
        self, collection_name: str, data: Sequence[Any] = (), *, limit: int = 10, **asked: Any
    ) -> list[list[dict[str, Any]]]:
        """The rows nearest to each vector or text of ``data``, as ``{"id": …, "distance": …, "entity": {…}}``.

        .. code-block:: python

            from airflow_provider_milvus.hooks.milvus import MilvusHook

            (hits,) = MilvusHook().search("docs", ids=[1], limit=3)
            print([hit["id"] for hit in hits])

        :param data: vectors, or texts where the collection makes vectors of them.
        :param limit: the number of hits of each at most.
        :param asked: ``ids`` in place of ``data``, ``anns_field``, ``filter`` and ``search_params`` of the search;
            ``output_fields``, ``partition_names``, ``group_by_field`` and ``consistency_level`` of its answer.
            ``search/search.py`` tells the defaults and the errors.
        """
        from airflow_provider_milvus.search.search import Request, search

        of_request = {name: asked.pop(name) for name in ("anns_field", "filter", "ids", "search_params") if name in asked}
        request = Request(data=data, limit=limit, **of_request)
        with self.client() as client:
            return client.run(search(collection_name, [request], limit=limit, **asked), self.deadline()).hits

    def export(self, collection_name: str, path: str, **asked: Any) -> dict[str, Any]:
        """Write the rows into files of a new folder, within the hook's ``timeout``; ``changed`` is of rows meanwhile.

        :param asked: as of ``MilvusExportOperator``, without ``filter_params``, ``if_exists`` and ``timeout``.
        """
        from airflow_provider_milvus.search.export import export

        with self.client() as client:
            name, written, _ = client.run(export(collection_name, path.rstrip("/"), **asked), self.deadline())
        return {"collection": name, "rows": written.rows, "changed": written.changed}

    async def shared_client(self) -> SharedClient:
        """A client for flows, which all who use the same connection in this event loop share: for triggers.

        pymilvus is not imported for it. The connection is read anew, and another hook's client is used only where nothing in it
        has changed since. It is open in the block of ``async with await hook.shared_client() as client``.
        """
        from airflow_provider_milvus.client.shared import shared_client

        await self._prepare()
        return shared_client(self.settings, self.operation_timeout)

    async def _prepare(self) -> None:
        """Read the connection, and import what a client needs, without holding up the event loop."""
        import asyncio
        import sys

        if "airflow_provider_milvus.protocol.milvus_pb2" not in sys.modules:
            await asyncio.to_thread(_import_protocol)
        if self._settings is None:
            connection = await fetch_shared(self.milvus_conn_id)
            # A thread for each of a thousand waits takes longer than what most of them have to do there.
            reads_files = "_pem_path" in (connection.extra or "")
            self._use(await asyncio.to_thread(self._read, connection) if reads_files else self._read(connection))
        from airflow_provider_milvus.client.channel import check_lite_is_installed

        check_lite_is_installed(self.settings.uri)

    def test_connection(self) -> tuple[bool, str]:
        """Whether the server accepts the credentials and the database, and whether its metrics can be read, in words.

        They also say what the server denies for now, and why, such as writes for lack of memory. It takes 5 seconds at most,
        and tries the metrics only where the connection has a ``metrics_url``.
        """
        import asyncio

        from airflow_provider_milvus.client.client import BoundedClient
        from airflow_provider_milvus.client.flow import Deadline, Rpc
        from airflow_provider_milvus.client.reads import health
        from airflow_provider_milvus.metrics import within

        try:
            settings = self.settings
            _import_protocol()
            end = time.monotonic() + TEST_TIMEOUT
            with BoundedClient(settings, TEST_TIMEOUT) as client:
                # One attempt for each call: a test does not wait for a server that may come back.
                version = client.perform(Rpc("GetVersion", timeout=TEST_TIMEOUT / 2)).version
                client.perform(Rpc("ShowCollections", timeout=TEST_TIMEOUT / 2))
                complaint = client.run(health(), Deadline(max(end - time.monotonic(), SHORTEST_TEST)))
        except MilvusError as error:
            # Airflow tests a connection under an id that it makes up for the moment.
            return False, str(error).replace(f"Connection {self.milvus_conn_id!r}", "The connection")
        answers = f"Milvus {version} answers at {settings.uri}, database {settings.database!r}"
        answers += f"; {complaint}" if complaint else ""
        metrics = self.metrics()
        if metrics is None:
            return True, f"{answers}."
        try:
            asyncio.run(within(max(end - time.monotonic(), SHORTEST_TEST), metrics.held()))
        except MilvusMetricsError as error:
            return False, f"{answers}, but its metrics do not. {error}"
        return True, f"{answers}, and its metrics can be read."

    def _read(self, connection: Connection) -> ConnectionSettings:
        from airflow_provider_milvus.client.connection import ConnectionSettings

        if connection.conn_type not in (None, "", self.conn_type, "generic"):
            raise MilvusConfigurationError(
                f"Connection {self.milvus_conn_id!r} is of type {connection.conn_type!r}, not 'milvus'."
            )
        return ConnectionSettings.of(connection, database=self.database)

    def _use(self, settings: ConnectionSettings) -> None:
        from airflow.providers.common.compat.sdk import mask_secret

        for secret in settings.secrets:
            mask_secret(secret)
        self._settings = settings

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The fields of the connection form in Airflow 2.11 to 3.1; later versions read ``get_provider_info``."""
        from airflow_provider_milvus.hooks.form import widgets

        return widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """How the standard fields look in the form of Airflow 2.11 to 3.1."""
        from airflow_provider_milvus.get_provider_info import field_behaviour

        return {key.replace("-", "_"): value for key, value in field_behaviour().items()}


def _import_protocol() -> None:
    """Import what the first call needs, before any clock runs: it takes some tenths of a second of CPU."""
    import grpc.aio  # noqa: F401

    from airflow_provider_milvus.client import connection, shared  # noqa: F401
    from airflow_provider_milvus.protocol import milvus_pb2  # noqa: F401
