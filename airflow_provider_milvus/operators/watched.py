"""What operators have in common that submit long work and watch it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import conf

from airflow_provider_milvus.arguments import optional_seconds, seconds
from airflow_provider_milvus.operators.base import MilvusOperator
from airflow_provider_milvus.triggers.milvus import MilvusConditionTrigger

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import BoundedClient
    from airflow_provider_milvus.client.flow import Deadline
    from airflow_provider_milvus.conditions import Condition, Observation

BACKSTOP = timedelta(seconds=30)
"""The trigger ends by itself and says what it saw; Airflow's own timeout comes later, where no triggerer runs."""


class WatchedOperator(MilvusOperator):
    """Submit long work on a collection, then watch it: here, or in the triggerer.

    A subclass's ``execute`` calls :meth:`watch`, or :meth:`hand_over` when ``deferrable``; its ``execute_complete`` then gets
    the trigger's ``event``, which brings ``submitted`` back.

    :param collection_name: the collection. (templated)
    :param poll_interval: seconds between two looks, at most; the worker looks more often at the beginning.
    :param stall_timeout: fail when nothing moves for so many seconds; None: only ``timeout`` ends it.
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    """

    template_fields: Sequence[str] = (*MilvusOperator.template_fields, "collection_name")

    def __init__(
        self,
        *,
        collection_name: str,
        poll_interval: float = 2.0,
        stall_timeout: float | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.poll_interval = seconds("poll_interval", poll_interval)
        self.stall_timeout = optional_seconds("stall_timeout", stall_timeout)
        self.deferrable = deferrable

    def watch(self, client: BoundedClient, condition: Condition, deadline: Deadline) -> Observation:
        from airflow_provider_milvus.conditions import wait_for

        return client.run(
            wait_for(
                condition,
                deadline,
                poll_interval=self.poll_interval,
                eager=True,
                stall_timeout=self.stall_timeout,
                report=self.log.info,
            ),
            deadline,
        )

    def hand_over(
        self, condition: Condition, deadline: Deadline, submitted: dict[str, Any], undo_on_kill: bool = False
    ) -> NoReturn:
        left = max(deadline.remaining, 0.001)
        self.defer(
            trigger=MilvusConditionTrigger(
                condition=condition.serialize(),
                end=time.time() + left,
                milvus_conn_id=self.milvus_conn_id,
                database=self.database,
                poll_interval=self.poll_interval,
                stall_timeout=self.stall_timeout,
                undo_on_kill=undo_on_kill,
                submitted=submitted,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=left) + BACKSTOP,
        )
        raise AssertionError("defer() does not return")
