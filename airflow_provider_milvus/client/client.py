"""Clients over pymilvus whose every call ends in time.

A client owns one gRPC channel: pymilvus's shared channels cannot be closed, and they ignore TLS settings that differ. Every
call on the channel has a deadline. pymilvus's own retries, which can last minutes, are switched off: :mod:`flow` decides when
to make a call again. A lost connection is dropped, and the next attempt makes a new one.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.codes import check_status
from airflow_provider_milvus.client.errors import build_error, cause_to_show, explain
from airflow_provider_milvus.client.flow import Call, Deadline, Flow, Method, Rest, Rpc, Step, drive, drive_async, steady
from airflow_provider_milvus.client.lazy_pymilvus import import_pymilvus
from airflow_provider_milvus.client.obstacle import find_obstacle, is_explained
from airflow_provider_milvus.client.rest import RestApi
from airflow_provider_milvus.client.silence import told_by_loop, told_by_thread
from airflow_provider_milvus.kinds import check_seconds

if TYPE_CHECKING:
    from pymilvus import AsyncMilvusClient, MilvusClient

    from airflow_provider_milvus.client.connection import ConnectionSettings

T = TypeVar("T")

CHANNEL_MARGIN = 2.0

_UNREACHED = (exceptions.MilvusTimeoutError, exceptions.MilvusUnavailableError)
_READS = ("describe_", "get_", "has_", "list_", "query", "search", "hybrid_search")
_SAFE_TWICE = frozenset({"load_collection", "load_partitions", "flush"})
_NOT_AVAILABLE = {
    "use_database": "give the hook its database, MilvusHook(database=…).",
    "using_database": "give the hook its database, MilvusHook(database=…).",
    "session": "its calls would have no deadline; use this client's own methods.",
    "get_server_type": "it calls no server; get_server_version() does.",
}


class _Client:
    """The settings of the connection, and how the failure of an attempt becomes an error."""

    def __init__(self, settings: ConnectionSettings, timeout: float) -> None:
        self.settings = settings
        self.timeout = timeout
        self._rest = RestApi(settings)

    def _pymilvus_arguments(self, connect_within: float) -> dict[str, Any]:
        # pymilvus makes calls without a timeout inside its methods, so the channel has one for every call. A call's own
        # timeout comes first: the margin is for gRPC 1.85, which was seen to end a call 1.3 s early.
        service = {"methodConfig": [{"name": [{}], "timeout": f"{self.timeout + CHANNEL_MARGIN:.3f}s"}]}
        return {
            "uri": self.settings.uri,
            "token": self.settings.token.get_secret_value(),
            "db_name": self.settings.database,
            "timeout": connect_within,
            "secure": self.settings.secure,
            "dedicated": True,
            "grpc_options": {
                "grpc.service_config": json.dumps(service),
                # pymilvus pings an idle server every 10 s, which Milvus Lite answers by closing the channel.
                "grpc.keepalive_permit_without_calls": False,
                # Of a handshake. By default it is 20 s, for which the socket stays open, also when its channel is closed.
                "grpc.min_reconnect_backoff_ms": math.ceil(connect_within * 1000),
            },
            **self.settings.tls,
        }

    @contextmanager
    def _named(self, database: str | None) -> Iterator[None]:
        """Name the connection and the database in an error of a flow that names neither."""
        try:
            yield
        except exceptions.MilvusError as error:
            where = self._settings_for(database).where
            if where.partition(" (")[0] in str(error):
                raise
            raise type(error)(f"{error} {where}.") from error.__cause__

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
        return self.settings if database is None else self.settings.model_copy(update={"database": database})

    def _explained(
        self, error: Exception, call: Call, settings: ConnectionSettings, started: float, *, sent: bool
    ) -> exceptions.MilvusError | None:
        waited, hide = time.monotonic() - started, settings.without_secrets
        return explain(error, call, where=settings.where, waited=waited, sent=sent, hide=hide)

    def _no_connection(self, known: exceptions.MilvusError, call: Call) -> exceptions.MilvusError:
        """The error of a connection that did not come about, with the reason where it can be seen."""
        if is_explained(known) or (obstacle := find_obstacle(self.settings.uri, self.settings.tls)) is None:
            return known
        return build_error(*obstacle, call, where=self.settings.where, sent=False)


def _build_request(rpc: Rpc, database: str) -> Any:
    from pymilvus.grpc_gen import milvus_pb2

    kind = getattr(milvus_pb2, f"{rpc.name}Request", None)
    if kind is None:
        raise exceptions.MilvusUnsupportedError(
            f"{rpc.failure()}: the installed pymilvus does not know {rpc.name}, and a newer one may. Nothing was changed."
        )
    known = kind.DESCRIPTOR.fields_by_name
    fields: dict[str, Any] = {"db_name": database} if "db_name" in known else {}
    return kind(**fields, **rpc.fields)


class BoundedClient(_Client):
    """A pymilvus ``MilvusClient`` whose every call ends in time, with an error of this provider's kinds.

    It has all methods of ``MilvusClient`` that call a server. A method takes ``timeout``, in seconds for the whole call; the
    hook's is the default and the most. Reads, loads and flushes ride out a short outage within it. Any other call that changes
    something is sent once, and again only after a refusal that certainly changed nothing. The client connects on the first
    call. It serves one database and one thread at a time; close it, or use it in ``with``.
    """

    def __init__(self, settings: ConnectionSettings, timeout: float) -> None:
        super().__init__(settings, timeout)
        self._client: MilvusClient | None = None

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

        with self._named(database):
            return drive(steady(flow, deadline), perform, sleep)

    def perform(self, call: Call, database: str | None = None) -> Any:
        """One attempt at ``call``, within its own timeout. ``database`` is for an ``Rpc`` and a ``Rest`` only.

        :raises MilvusError: its kind decides whether the call is made again.
        """
        started, settings = time.monotonic(), self._settings_for(database)
        allowed = call.timeout or self.timeout
        if isinstance(call, Rest):
            return asyncio.run(self._rest.post(call, settings.database, allowed))
        try:
            client = self._connected(self._connect_timeout(allowed))
            remaining = max(allowed - (time.monotonic() - started), 0.001)
            if isinstance(call, Rpc):
                request = _build_request(call, settings.database)
                send = getattr(client._handler._stub, call.name)
                return check_status(send(request, timeout=remaining, metadata=[("dbname", settings.database)]))
            method = getattr(client, call.name)
            return method(*call.arguments, timeout=remaining, **_keywords_for(method, call))
        except Exception as error:
            sent = self._client is not None
            known = self._explained(error, call, settings, started, sent=sent)
            if known is None:
                raise
            if isinstance(known, _UNREACHED) and not sent:
                known = self._no_connection(known, call)
            if isinstance(known, exceptions.MilvusUnavailableError):
                self.close()
            raise known from cause_to_show(error, known, settings.without_secrets)

    def close(self) -> None:
        """Close the channel. A later call opens a new one."""
        if self._client is not None:
            client, self._client = self._client, None
            client.close()

    def _connected(self, within: float) -> MilvusClient:
        if self._client is None:
            pymilvus = import_pymilvus()
            self._client = pymilvus.MilvusClient(**self._pymilvus_arguments(within))
            self._client._handler._on_rpc_error = _raise_again
        return self._client

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        plain = _plain_attribute(import_pymilvus().MilvusClient, name)
        return plain if plain is not None else partial(self._bounded, name)

    def _bounded(self, method: str, /, *arguments: Any, timeout: float | None = None, **keywords: Any) -> Any:
        return self.run(_single_call(_method(method, arguments, keywords)), self._deadline(method, timeout))


class AsyncBoundedClient(_Client):
    """The same over pymilvus's ``AsyncMilvusClient``: for the triggerer, and for many flows at once in a worker.

    A client is for one event loop, which it never blocks.
    """

    def __init__(self, settings: ConnectionSettings, timeout: float) -> None:
        super().__init__(settings, timeout)
        self._client: AsyncMilvusClient | None = None
        self._users: Counter[AsyncMilvusClient] = Counter()
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> AsyncBoundedClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def run(self, flow: Flow[T], deadline: Deadline, *, database: str | None = None) -> T:
        """Carry out ``flow`` within ``deadline``, in ``database`` or else the connection's own."""

        async def perform(call: Call) -> Any:
            with told_by_loop(call, deadline):
                return await self.perform(call, database)

        with self._named(database):
            return await drive_async(steady(flow, deadline), perform)

    async def perform(self, call: Call, database: str | None = None) -> Any:
        """One attempt at ``call``, within its own timeout. ``database`` is for an ``Rpc`` and a ``Rest`` only.

        :raises MilvusError: its kind decides whether the call is made again.
        """
        started, settings = time.monotonic(), self._settings_for(database)
        allowed = call.timeout or self.timeout
        if isinstance(call, Rest):
            return await self._rest.post(call, settings.database, allowed)
        client = None
        try:
            client = await self._connected(self._connect_timeout(allowed))
            self._users[client] += 1
            remaining = max(allowed - (time.monotonic() - started), 0.001)
            if isinstance(call, Rpc):
                request = _build_request(call, settings.database)
                send = getattr(client._handler._async_stub, call.name)
                return check_status(await send(request, timeout=remaining, metadata=[("dbname", settings.database)]))
            method = getattr(client, call.name)
            answer = method(*call.arguments, timeout=remaining, **_keywords_for(method, call))
            return await asyncio.wait_for(answer, timeout=remaining + 0.5)
        except Exception as error:
            sent = client is not None
            known = self._explained(error, call, settings, started, sent=sent)
            if known is None:
                raise
            if isinstance(known, _UNREACHED) and not sent:
                known = await asyncio.to_thread(self._no_connection, known, call)
            if isinstance(known, exceptions.MilvusUnavailableError) and client is self._client:
                self._client = None
            raise known from cause_to_show(error, known, settings.without_secrets)
        finally:
            if client is not None:
                await self._leave(client)

    async def _leave(self, client: AsyncMilvusClient) -> None:
        """Close a dropped channel after its last call: closing cancels the calls on it."""
        self._users[client] -= 1
        if not self._users[client]:
            del self._users[client]
            if client is not self._client:
                await client.close()

    async def close(self) -> None:
        """Close the channel. A later call opens a new one."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def _connected(self, within: float) -> AsyncMilvusClient:
        if self._client is not None:
            return self._client
        # Flows that run at once share the channel that the first of them opens. Within the margin pymilvus gives its reason.
        async with asyncio.timeout(within + 0.25), self._connecting:
            return await self._open(within)

    async def _open(self, within: float) -> AsyncMilvusClient:
        if self._client is None:
            pymilvus = await asyncio.to_thread(import_pymilvus)
            from pymilvus.client.connection_manager import AsyncConnectionManager

            client = pymilvus.AsyncMilvusClient(**self._pymilvus_arguments(within))
            # pymilvus's manager for the whole loop connects one client at a time: a host that hangs would hold up the triggers
            # of all other hosts. So each client has a manager of its own.
            client._manager, opened = AsyncConnectionManager(), []

            def take(handler: Any) -> None:
                handler._on_rpc_error = _raise_again_async
                opened.append(handler)

            client._manager._register_error_callback = take
            try:
                client._handler = await client._manager.get_or_create(
                    client._config, dedicated=True, client=client, timeout=within
                )
            except BaseException:
                # pymilvus leaves the channel open when it cannot connect, and when the task is cancelled meanwhile.
                for handler in opened:
                    await handler.close()
                raise
            self._client = client
        return self._client

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        plain = _plain_attribute(import_pymilvus().AsyncMilvusClient, name)
        return plain if plain is not None else partial(self._bounded, name)

    async def _bounded(self, method: str, /, *arguments: Any, timeout: float | None = None, **keywords: Any) -> Any:
        return await self.run(_single_call(_method(method, arguments, keywords)), self._deadline(method, timeout))


def _plain_attribute(client_class: type, name: str) -> Any:
    """A class-level builder such as ``create_schema``, which calls no server; ``None`` for an ordinary method."""
    try:
        attribute = inspect.getattr_static(client_class, name)
    except AttributeError:
        raise AttributeError(f"{client_class.__name__} has no attribute {name!r}") from None
    if name in _NOT_AVAILABLE:
        raise exceptions.MilvusRefusedError(f"{name}() is not available: {_NOT_AVAILABLE[name]}")
    return getattr(client_class, name) if isinstance(attribute, (classmethod, staticmethod)) else None


def _keywords_for(method: Callable[..., Any], call: Method) -> dict[str, Any]:
    """The call's keywords. pymilvus must not wait for a rate limit: it sleeps past the timeout and loses the cause."""
    parameters = inspect.signature(method).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return {"retry_on_rate_limit": False, **call.keywords} if takes_any else dict(call.keywords)


def _method(name: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Method:
    repeatable = name.startswith(_READS) or name in _SAFE_TWICE
    return Method(name, arguments, keywords, repeatable=repeatable)


def _single_call(call: Step) -> Flow[Any]:
    return (yield call)


def _raise_again(error: Exception) -> NoReturn:
    """In place of pymilvus's own recovery, whose reconnects and retries outlast the caller's timeout."""
    raise error


async def _raise_again_async(error: Exception) -> NoReturn:
    raise error


def check_lite_is_installed(uri: str) -> None:
    """Check that the package which opens a Milvus Lite file is installed.

    :raises MilvusConfigurationError: it is not, and ``uri`` is the path of such a file.
    """
    from importlib.util import find_spec

    if uri.endswith(".db") and find_spec("milvus_lite") is None:
        raise exceptions.MilvusConfigurationError(
            "A Milvus Lite file needs the package milvus-lite: pip install 'airflow-provider-milvus[lite]'."
        )
