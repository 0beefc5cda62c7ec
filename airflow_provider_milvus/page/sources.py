"""What the page reads in Airflow: the connections of type ``milvus``, and what is kept of their reclaims.

It runs in the API server, where Airflow asks its own database for what a task asks the API server for.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.kept_reports import PREFIX, key_of
from airflow_provider_milvus.reclaim.kept_report import KeptReport

IN_ENVIRONMENT = "AIRFLOW_CONN_"

_THREADS = ThreadPoolExecutor(8, "milvus-page")
"""For what secrets backends are asked. One that hangs holds no other thread of the API server."""

T = TypeVar("T")

log = logging.getLogger(__name__)


async def ask_secrets(read: Callable[[], T], within: float) -> T:
    """Read a connection or a Variable, for which Airflow asks every secrets backend.

    :param within: seconds.
    :raises TimeoutError: nothing was told within them.
    """
    async with asyncio.timeout(within):
        return await asyncio.get_running_loop().run_in_executor(_THREADS, read)


def conn_ids() -> list[str]:
    """The connections of type ``milvus``: of the database, of the environment, and those of which a reclaim is kept.

    No other secrets backend can list what it has.
    """
    from airflow.models.connection import Connection as Stored
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        stored = session.scalars(select(Stored.conn_id).where(Stored.conn_type == MilvusHook.conn_type)).all()
        kept = session.scalars(select(Variable.key).where(Variable.key.startswith(PREFIX, autoescape=True))).all()
    named = [name.removeprefix(IN_ENVIRONMENT).lower() for name in os.environ if name.startswith(IN_ENVIRONMENT)]
    return sorted({*stored, *filter(_is_milvus, named), *(key.removeprefix(PREFIX) for key in kept)})


def _is_milvus(conn_id: str) -> bool:
    """Whether the environment has a connection of that id to a Milvus."""
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend

    try:
        found = EnvironmentVariablesBackend().get_connection(conn_id)
        return found is not None and found.conn_type == MilvusHook.conn_type
    except Exception as error:  # noqa: BLE001 - another provider's connection may be anything, and is not ours to report.
        log.debug("The connection %r is left out: %s", conn_id, type(error).__name__)
        return False


def kept_of(conn_id: str) -> tuple[KeptReport, str | None]:
    """What is kept of the reclaims of a connection, and why it cannot be read, if so."""
    from airflow.models.variable import Variable

    key = key_of(conn_id)
    try:
        # As JSON, Airflow itself would take what is in it for secrets.
        value = Variable.get(key, None)
        return (KeptReport() if value is None else KeptReport.read(json.loads(value))), None
    except ValueError as error:
        return KeptReport(), f"What is kept of the last reclaims, the Airflow Variable {key!r}, cannot be read: {error}."
