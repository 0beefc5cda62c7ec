"""Clients whose every call ends in time, with an error of the provider's kinds.

A client owns its connections: a gRPC channel for the provider's own calls, and a client of pymilvus's for a user's, made on the
first call of each kind. Neither makes a call again by itself: :mod:`flow` decides that. A lost connection is dropped, and the
next attempt makes a new one.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.channel import AsyncChannel, Channel
from airflow_provider_milvus.client.collector import seldom_collected
from airflow_provider_milvus.client.errors import build_error, cause_to_show, explain
from airflow_provider_milvus.client.flow import Call, Deadline, Flow, Rest, Rpc, drive, drive_async, steady
from airflow_provider_milvus.client.glances import Glances
from airflow_provider_milvus.client.obstacle import Obstacle, find_obstacle, is_explained
from airflow_provider_milvus.client.pymilvus_client import AsyncPymilvusClient, PymilvusClient, plain_attribute, single_call
from airflow_provider_milvus.client.rest import RestApi
from airflow_provider_milvus.client.silence import told_by_loop, told_by_thread
from airflow_provider_milvus.kinds import check_seconds
from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus

if TYPE_CHECKING:
    from airflow_provider_milvus.client.connection import ConnectionSettings

MANY = 64
"""Calls that are under way at once."""

T = TypeVar("T")

_UNREACHED = (exceptions.MilvusTimeoutError, exceptions.MilvusUnavailableError)


class _Client:
    """The settings of the connection, and how the failure of an attempt becomes an error."""

    def __init__(self, settings: ConnectionSettings, timeout: float) -> None:
        self.settings = settings
        self.timeout = timeout
        self._rest = RestApi(settings)
        self._by_database: dict[str, ConnectionSettings] = {}

    def named(self, error: exceptions.MilvusError, database: str | None = None) -> exceptions.MilvusError:
        """The error of a flow, which names the connection and the database."""
        where = self._settings_for(database).where
        return error if where.partition(" (")[0] in str(error) else type(error)(f"{error} {where}.")

    def _deadline(self, method: str, timeout: float | None) -> Deadline:
        limit = self.timeout if timeout is None else check_seconds("timeout", timeout)
        if limit > self.timeout:
            raise exceptions.MilvusInvalidArgumentError(
                f"{method}(timeout={limit:g}) is more than this client's {self.timeout:g} s: use MilvusHook(timeout={limit:g})."
            )
        return Deadline(limit)

    def _connect_timeout(self, remaining: float) -> float:
        return max(min(self.settings.connect_timeout, remaining), 0.001)

    def _settings_for(self, database: str | None) -> ConnectionSettings:
        """The settings, for another database of the same server where one is given."""
        if database is None:
            return self.settings
        if database not in self._by_database:
            self._by_database[database] = self.settings.model_copy(update={"database": database})
        return self._by_database[database]

    def _explained(
        self, error: Exception, call: Call, settings: ConnectionSettings, started: float, *, sent: bool
    ) -> exceptions.MilvusError | None:
        waited, hide = time.monotonic() - started, settings.without_secrets
        return explain(error, call, where=settings.where, waited=waited, sent=sent, hide=hide)

    def _obstructed(self, known: exceptions.MilvusError, call: Call, obstacle: Obstacle | None) -> exceptions.MilvusError:
        """The error of a connection that did not come about, with the reason where it was seen."""
        return known if obstacle is None else build_error(*obstacle, call, where=self.settings.where, sent=False)


class BoundedClient(_Client):
    """A pymilvus ``MilvusClient`` whose every call ends in time, with an error of this provider's kinds.

    It has all methods of ``MilvusClient`` that call a server. A method takes ``timeout``, in seconds for the whole call; the
    hook's is the default and the most. Reads, loads and flushes ride out a short outage within it. Any other call that changes
    something is sent once, and again only after a refusal that certainly changed nothing. The client connects on the first
    call. It serves one database and one thread at a time; close it, or use it in ``with``.
    """

    def __init__(self, settings: ConnectionSettings, timeout: float) -> None:
        super().__init__(settings, timeout)
        self._open: dict[type, Any] = {}
        """What is connected, by the kind of the calls that it makes."""

    def __enter__(self) -> BoundedClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def run(
        self,
        flow: Flow[T],
        deadline: Deadline,
        sleep: Callable[[float], object] = time.sleep,
        *,
        database: str | None = None,
    ) -> T:
        """Carry out ``flow`` within ``deadline``, in ``database`` or else the connection's own."""

        def perform(call: Call) -> Any:
            with told_by_thread(call, deadline):
                return self.perform(call, database)

        try:
            return drive(steady(flow, deadline), perform, sleep)
        except exceptions.MilvusError as error:
            raise self.named(error, database) from error.__cause__

    def perform(self, call: Call, database: str | None = None) -> Any:
        """One attempt at ``call``, within its own timeout. ``database`` is for an ``Rpc`` and a ``Rest`` only.

        :raises MilvusError: its kind decides whether the call is made again.
        """
        started, settings = time.monotonic(), self._settings_for(database)
        allowed = call.timeout or self.timeout
        if isinstance(call, Rest):
            return asyncio.run(self._rest.post(call, settings.database, allowed))
        connection = None
        try:
            connection = self._connected(type(call), self._connect_timeout(allowed))
            return connection.send(call, settings.database, max(allowed - (time.monotonic() - started), 0.001))
        except Exception as error:
            sent = connection is not None
            known = self._explained(error, call, settings, started, sent=sent)
            if known is None:
                raise
            if isinstance(known, _UNREACHED) and not sent and not is_explained(known):
                known = self._obstructed(known, call, find_obstacle(settings.uri, settings.tls))
            if connection is not None and isinstance(known, exceptions.MilvusUnavailableError):
                del self._open[type(call)]
                connection.close()
            raise known from cause_to_show(error, known, settings.without_secrets)

    def close(self) -> None:
        """Close what is connected. A later call connects anew."""
        while self._open:
            self._open.popitem()[1].close()

    def _connected(self, kind: type, within: float) -> Any:
        if kind not in self._open:
            opened = Channel if kind is Rpc else PymilvusClient
            self._open[kind] = opened.open(self.settings, within, self.timeout)
        return self._open[kind]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        plain = plain_attribute(import_pymilvus().MilvusClient, name)
        return plain if plain is not None else partial(self._bounded, name)

    def _bounded(self, method: str, /, *arguments: Any, timeout: float | None = None, **keywords: Any) -> Any:
        return self.run(single_call(method, arguments, keywords), self._deadline(method, timeout))


class AsyncBoundedClient(_Client):
    """The same over pymilvus's ``AsyncMilvusClient``: for the triggerer, and for many flows at once in a worker.

    A client is for one event loop, which it never blocks.
    """

    def __init__(self, settings: ConnectionSettings, timeout: float) -> None:
        super().__init__(settings, timeout)
        self._open: dict[type, Any] = {}
        self._opening: dict[type, asyncio.Task[Any]] = {}
        self._users: Counter[Any] = Counter()
        self._glances: dict[str, Glances] = {}
        self._search: asyncio.Task[Obstacle | None] | None = None
        """The search for what is in the way, for all calls that found no connection."""

    async def __aenter__(self) -> AsyncBoundedClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def run(self, flow: Flow[T], deadline: Deadline, *, database: str | None = None) -> T:
        """Carry out ``flow`` within ``deadline``, in ``database`` or else the connection's own."""

        async def perform(call: Call) -> Any:
            with told_by_loop(call, deadline):
                return await self.perform(call, database)

        try:
            return await drive_async(steady(flow, deadline), perform, self._glances_at(database).pause)
        except exceptions.MilvusError as error:
            raise self.named(error, database) from error.__cause__

    async def perform(self, call: Call, database: str | None = None) -> Any:
        """One attempt at ``call``, within its own timeout. ``database`` is for an ``Rpc`` and a ``Rest`` only.

        :raises MilvusError: its kind decides whether the call is made again.
        """
        started, settings = time.monotonic(), self._settings_for(database)
        allowed = call.timeout or self.timeout
        if isinstance(call, Rest):
            return await self._rest.post(call, settings.database, allowed)
        connection = None
        try:
            connection = await self._connected(type(call), self._connect_timeout(allowed))
            self._users[connection] += 1
            # For a few calls all else in the process keeps its collector as it is.
            with seldom_collected() if self._users[connection] > MANY else nullcontext():
                return await connection.send(call, settings.database, max(allowed - (time.monotonic() - started), 0.001))
        except Exception as error:
            sent = connection is not None
            known = self._explained(error, call, settings, started, sent=sent)
            if known is None:
                raise
            if isinstance(known, _UNREACHED) and not sent and not is_explained(known):
                known = self._obstructed(known, call, await self._obstacle())
            if isinstance(known, exceptions.MilvusUnavailableError) and connection is self._open.get(type(call)):
                self._open.pop(type(call), None)
            raise known from cause_to_show(error, known, settings.without_secrets)
        finally:
            if connection is not None:
                await self._leave(connection)

    async def _leave(self, connection: Any) -> None:
        """Close a dropped connection after its last call: closing cancels the calls on it."""
        self._users[connection] -= 1
        if not self._users[connection]:
            del self._users[connection]
            if connection not in self._open.values():
                await connection.close()

    async def close(self) -> None:
        """Close what is connected. A later call connects anew."""
        opening = [task for task in (*self._opening.values(), self._search) if task is not None]
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        while self._open:
            await self._open.popitem()[1].close()

    async def _connected(self, kind: type, within: float) -> Any:
        """What makes calls of this kind. Flows that run at once share what the first of them opens, each within its time."""
        if kind not in self._open:
            if kind not in self._opening:
                self._opening[kind] = asyncio.create_task(self._connect(kind))
                # Also where nobody waits for it any more.
                self._opening[kind].add_done_callback(lambda task: task.cancelled() or task.exception())
            opening = self._opening[kind]
            await asyncio.wait([opening], timeout=within)
            if not opening.done():
                raise TimeoutError
            return opening.result()
        return self._open[kind]

    async def _connect(self, kind: type) -> Any:
        opened = AsyncChannel if kind is Rpc else AsyncPymilvusClient
        try:
            self._open[kind] = await opened.open(self.settings, self.settings.connect_timeout, self.timeout)
            return self._open[kind]
        finally:
            del self._opening[kind]

    async def _obstacle(self) -> Obstacle | None:
        if self._search is None or self._search.done():
            self._search = asyncio.create_task(asyncio.to_thread(find_obstacle, self.settings.uri, self.settings.tls))
        return await asyncio.shield(self._search)

    def _glances_at(self, database: str | None) -> Glances:
        name = self._settings_for(database).database
        if name not in self._glances:
            self._glances[name] = Glances(partial(self.perform, database=name))
        return self._glances[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        plain = plain_attribute(import_pymilvus().AsyncMilvusClient, name)
        return plain if plain is not None else partial(self._bounded, name)

    async def _bounded(self, method: str, /, *arguments: Any, timeout: float | None = None, **keywords: Any) -> Any:
        return await self.run(single_call(method, arguments, keywords), self._deadline(method, timeout))
