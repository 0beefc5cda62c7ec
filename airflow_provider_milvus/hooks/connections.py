"""The Airflow connection behind an id, fetched by a worker at once, and by a triggerer for many who ask together."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_milvus.exceptions import MilvusConfigurationError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_milvus.client.shared_look import SharedLook

_READS: WeakKeyDictionary[AbstractEventLoop, dict[str, SharedLook[Connection]]] = WeakKeyDictionary()
READ_AFTER = 0.1
"""Seconds in which waits that begin share one read of their connection: for each read a triggerer with 1,000 triggers goes once
through its database, which takes 0.1 s of CPU."""


def fetch(conn_id: str) -> Connection:
    """:raises MilvusConfigurationError: there is no connection with that id."""
    with _known(conn_id):
        fetched: Connection = BaseHook.get_connection(conn_id)
        return fetched


async def fetch_shared(conn_id: str) -> Connection:
    """The same on an event loop: all who ask at about the same moment share what is fetched after they have asked."""
    import asyncio

    from airflow_provider_milvus.client.shared_look import SharedLook

    reads = _READS.setdefault(asyncio.get_running_loop(), {})
    if conn_id not in reads:
        reads[conn_id] = SharedLook(_fetch_all, READ_AFTER)
    connection = await reads[conn_id].at(conn_id)
    assert connection is not None
    return connection


async def _fetch_all(conn_ids: Collection[str]) -> dict[str, Connection]:
    return {conn_id: await _fetch(conn_id) for conn_id in conn_ids}


async def _fetch(conn_id: str) -> Connection:
    with _known(conn_id):
        if hasattr(BaseHook, "aget_connection"):
            return await BaseHook.aget_connection(conn_id)
        from asgiref.sync import sync_to_async

        fetched: Connection = await sync_to_async(BaseHook.get_connection)(conn_id)
        return fetched


@contextmanager
def _known(conn_id: str) -> Iterator[None]:
    """Fetch a connection in the block.

    :raises MilvusConfigurationError: there is no connection with that id.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    try:
        yield
    except AirflowNotFoundException:
        raise MilvusConfigurationError(
            f"There is no connection {conn_id!r}. Nothing was sent. Add it in Airflow, or as AIRFLOW_CONN_{conn_id.upper()} "
            "where the task runs, or correct the id."
        ) from None
