"""pymilvus's own clients, for a user's calls: with its retries and reconnects switched off, and a time for every call.

A client owns one gRPC channel: pymilvus's shared channels cannot be closed, and they ignore TLS settings that differ.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Flow, Method, Step
from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus

if TYPE_CHECKING:
    from airflow_provider_milvus.client.connection import ConnectionSettings

CHANNEL_MARGIN = 2.0
"""Seconds that a call has beyond its most on the channel: gRPC 1.85 was seen to end one 1.3 s early."""

_READS = ("describe_", "get_", "has_", "list_", "query", "search", "hybrid_search")
_SAFE_TWICE = frozenset({"load_collection", "load_partitions", "flush"})
_NOT_AVAILABLE = {
    "use_database": "give the hook its database, MilvusHook(database=…).",
    "using_database": "give the hook its database, MilvusHook(database=…).",
    "session": "its calls would have no deadline; use this client's own methods.",
    "get_server_type": "it calls no server; get_server_version() does.",
}


class PymilvusClient:
    """pymilvus's ``MilvusClient``."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def open(cls, settings: ConnectionSettings, within: float, timeout: float) -> PymilvusClient:
        """Connect within these seconds; ``timeout`` is the most that a call may take afterwards."""
        client = import_pymilvus().MilvusClient(**_arguments(settings, within, timeout))
        client._handler._on_rpc_error = _raise_again
        return cls(client)

    def send(self, call: Method, _database: str, timeout: float) -> Any:
        """Make one call of a method, in the database that the connection names."""
        method = getattr(self._client, call.name)
        return method(*call.arguments, timeout=timeout, **_keywords_for(method, call))

    def close(self) -> None:
        self._client.close()


class AsyncPymilvusClient:
    """pymilvus's ``AsyncMilvusClient``, for the event loop in which it is opened."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    async def open(cls, settings: ConnectionSettings, within: float, timeout: float) -> AsyncPymilvusClient:
        """Connect within these seconds; ``timeout`` is the most that a call may take afterwards."""
        pymilvus = await asyncio.to_thread(import_pymilvus)
        from pymilvus.client.connection_manager import AsyncConnectionManager

        client = pymilvus.AsyncMilvusClient(**_arguments(settings, within, timeout))
        # pymilvus's manager for the whole loop connects one client at a time: a host that hangs would hold up the triggers
        # of all other hosts. So each client has a manager of its own.
        client._manager, opened = AsyncConnectionManager(), []

        def take(handler: Any) -> None:
            handler._on_rpc_error = _raise_again_async
            opened.append(handler)

        client._manager._register_error_callback = take
        try:
            client._handler = await client._manager.get_or_create(client._config, dedicated=True, client=client, timeout=within)
        except BaseException:
            # pymilvus leaves the channel open when it cannot connect, and when the task is cancelled meanwhile.
            for handler in opened:
                await handler.close()
            raise
        return cls(client)

    async def send(self, call: Method, _database: str, timeout: float) -> Any:
        """Make one call of a method, in the database that the connection names."""
        method = getattr(self._client, call.name)
        answer = method(*call.arguments, timeout=timeout, **_keywords_for(method, call))
        return await asyncio.wait_for(answer, timeout=timeout + 0.5)

    async def close(self) -> None:
        await self._client.close()


def plain_attribute(client_class: type, name: str) -> Any:
    """A class-level builder such as ``create_schema``, which calls no server; ``None`` for an ordinary method."""
    try:
        attribute = inspect.getattr_static(client_class, name)
    except AttributeError:
        raise AttributeError(f"{client_class.__name__} has no attribute {name!r}") from None
    if name in _NOT_AVAILABLE:
        raise exceptions.MilvusRefusedError(f"{name}() is not available: {_NOT_AVAILABLE[name]}")
    return getattr(client_class, name) if isinstance(attribute, (classmethod, staticmethod)) else None


def single_call(name: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Flow[Any]:
    """The flow of one call of a method, as a user's own code makes it."""
    repeatable = name.startswith(_READS) or name in _SAFE_TWICE
    step: Step = Method(name, arguments, keywords, repeatable=repeatable)
    return (yield step)


def _arguments(settings: ConnectionSettings, within: float, timeout: float) -> dict[str, Any]:
    # pymilvus makes calls without a timeout inside its methods, so the channel has one for every call. A call's own timeout
    # comes first.
    service = {"methodConfig": [{"name": [{}], "timeout": f"{timeout + CHANNEL_MARGIN:.3f}s"}]}
    return {
        "uri": settings.uri,
        "token": settings.token.get_secret_value(),
        "db_name": settings.database,
        "timeout": within,
        "secure": settings.secure,
        "dedicated": True,
        "grpc_options": {
            "grpc.service_config": json.dumps(service),
            # pymilvus pings an idle server every 10 s, which Milvus Lite answers by closing the channel.
            "grpc.keepalive_permit_without_calls": False,
            # Of a handshake. By default it is 20 s, for which the socket stays open, also when its channel is closed.
            "grpc.min_reconnect_backoff_ms": math.ceil(within * 1000),
            # By default channels of a process share connections, also the one that was lost a moment ago.
            "grpc.use_local_subchannel_pool": 1,
        },
        **settings.tls,
    }


def _keywords_for(method: Callable[..., Any], call: Method) -> dict[str, Any]:
    """The call's keywords. pymilvus must not wait for a rate limit: it sleeps past the timeout and loses the cause."""
    parameters = inspect.signature(method).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return {"retry_on_rate_limit": False, **call.keywords} if takes_any else dict(call.keywords)


def _raise_again(error: Exception) -> NoReturn:
    """In place of pymilvus's own recovery, whose reconnects and retries outlast the caller's timeout."""
    raise error


async def _raise_again_async(error: Exception) -> NoReturn:
    raise error
