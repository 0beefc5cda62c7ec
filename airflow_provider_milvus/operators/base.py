"""What every Milvus operator has: a connection, a database, and an end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_milvus.arguments import optional_seconds
from airflow_provider_milvus.hooks.milvus import MilvusHook


class MilvusOperator(BaseOperator):
    """Base of the operators.

    :param milvus_conn_id: the connection, of type ``milvus``. (templated)
    :param database: the database; None: the connection's. (templated)
    :param timeout: seconds for the whole operation, connecting and waiting included; None: the connection's ``timeout``
        (60 by default).
    :raises MilvusInvalidArgumentError: a timeout that is not a positive number, when the DAG is parsed.
    """

    template_fields: Sequence[str] = ("milvus_conn_id", "database")
    ui_color = "#d7f0fb"

    def __init__(
        self,
        *,
        milvus_conn_id: str = MilvusHook.default_conn_name,
        database: str | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.milvus_conn_id = milvus_conn_id
        self.database = database
        self.timeout = optional_seconds("timeout", timeout)

    def hook(self) -> MilvusHook:
        return MilvusHook(self.milvus_conn_id, self.database, self.timeout)


def result(hook: MilvusHook, collection: str, began: float, **more: Any) -> dict[str, Any]:
    """What an operator returns: small and JSON-safe. ``began`` is in seconds since the epoch."""
    return {"collection": collection, "database": hook.settings.database, **more, "seconds": round(time.time() - began, 3)}
