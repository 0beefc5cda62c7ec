"""The sensors: one thin class per condition. What there is to wait for is in ``conditions/``.

Those for collections, indexes and imports, at home in files beside this one, can be imported from here as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import name, names, one_of
from airflow_provider_milvus.sensors.base import MilvusConditionSensor
from airflow_provider_milvus.sensors.bulk_import import MilvusBulkImportSensor
from airflow_provider_milvus.sensors.collection import (
    MilvusCollectionSensor,
    MilvusCompactionSensor,
    MilvusIndexSensor,
    MilvusRowCountSensor,
)

if TYPE_CHECKING:
    from airflow_provider_milvus.conditions import LoadState

__all__ = [
    "MilvusBulkImportSensor",
    "MilvusCollectionSensor",
    "MilvusCompactionSensor",
    "MilvusConditionSensor",
    "MilvusIndexSensor",
    "MilvusLoadStateSensor",
    "MilvusRowCountSensor",
]


class MilvusLoadStateSensor(MilvusConditionSensor):
    """Wait until a collection, or each of some partitions, is in memory (or no longer is).

    It only reads: the server's state is the same afterwards.

    :param collection_name: the collection, or an alias of it. (templated)
    :param partition_names: check each of these partitions. Without them the collection as a whole is asked, and Milvus
        calls that Loaded as soon as one of its partitions is. (templated)
    :param target_state: ``"Loaded"`` or ``"NotLoad"``.
    :param fail_if_not_loading: fail at once when the collection is NotLoad, that is, when nobody is loading it.
    :raises MilvusNotFoundError: the collection, a partition or the database does not exist; never retried.
    """

    template_fields: Sequence[str] = (*MilvusConditionSensor.template_fields, "collection_name", "partition_names")
    ui_color = "#d7f0fb"

    def __init__(
        self,
        *,
        collection_name: str,
        partition_names: str | Sequence[str] | None = None,
        target_state: str = "Loaded",
        fail_if_not_loading: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.partition_names = partition_names
        self.target_state = one_of("target_state", target_state, ("Loaded", "NotLoad"))
        self.fail_if_not_loading = fail_if_not_loading

    def condition(self) -> LoadState:
        from airflow_provider_milvus.conditions import LoadState

        return LoadState(
            collection_name=name("collection_name", self.collection_name),
            partition_names=[] if self.partition_names is None else names("partition_names", self.partition_names),
            target_state=self.target_state,
            fail_if_not_loading=self.fail_if_not_loading and self.target_state == "Loaded",
        )
