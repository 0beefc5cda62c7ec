"""What operators that change a collection's rows have in common: they say that they did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.operators.base import MilvusOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.hooks.milvus import MilvusHook


class MilvusWriteOperator(MilvusOperator):
    """Base of the operators that change what a collection holds."""

    def wrote(self, context: Context, hook: MilvusHook, collection: str, **counts: Any) -> None:
        """Tell Airflow that ``collection`` has changed; ``counts`` go with the event. Call it once, after it has succeeded."""
