"""The trigger that fires when searches arrive for a collection that is not in memory.

For an ``AssetWatcher`` (Airflow 3.0 and later) it watches for ever, for a sensor until its first event or its end. It holds
names and plain values only, and fetches the connection when it runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_milvus.arguments import names, seconds, whole_number
from airflow_provider_milvus.exceptions import (
    MilvusError,
    MilvusMetricsError,
    MilvusTimeoutError,
    MilvusUnavailableError,
)
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.triggers.milvus import error_event, read_event

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # Airflow 2 has no AssetWatcher.
    from airflow.triggers.base import BaseTrigger as BaseEventTrigger  # type: ignore[assignment]

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient
    from airflow_provider_milvus.metrics import MetricsSource
    from airflow_provider_milvus.reclaim.demand import Demand, Wanted

LAST_LOOK = 5.0
"""Seconds that a look may take, even when the end has come."""


class MilvusDemandTrigger(BaseEventTrigger):
    """Fire when searches or queries arrive for a collection that is not in memory. It only reads.

    .. code-block:: python

        from airflow_provider_milvus.triggers.milvus import MilvusDemandTrigger

        # On Airflow 3 an Asset with AssetWatcher(name="docs_demand", trigger=trigger) starts a DAG run for every event.
        trigger = MilvusDemandTrigger(collection_names=["docs"], poll_interval=30)

    Milvus's proxies count attempts to search or query, also those that fail. Attempts before the watch began do not count. When
    the metrics or the server cannot be read, the next look tries again. The payload of the event is ``{"collection": "docs",
    "database": "default", "attempts": 3}``.

    :param collection_names: the collections, by their own names. Searches through their aliases count as well.
    :param milvus_conn_id: the connection; it must have a ``metrics_url``.
    :param database: the database; None: the connection's.
    :param poll_interval: seconds between two looks; 15 by default.
    :param min_attempts: the number of attempts that fires; 1 by default.
    :param end: when to give up, in seconds since the epoch: the trigger fires once, at the first demand or with an error at the
        end. None: it watches for ever, for an ``AssetWatcher``, and fires again for a collection only after it was seen Loaded.
    :raises MilvusInvalidArgumentError: an argument can never work.
    """

    def __init__(
        self,
        *,
        collection_names: str | Sequence[str],
        milvus_conn_id: str = MilvusHook.default_conn_name,
        database: str | None = None,
        poll_interval: float = 15.0,
        min_attempts: int = 1,
        end: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.collection_names = names("collection_names", collection_names)
        self.milvus_conn_id = milvus_conn_id
        self.database = database
        self.poll_interval = seconds("poll_interval", poll_interval)
        self.min_attempts = whole_number("min_attempts", min_attempts, 1)
        self.end = end

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "collection_names": self.collection_names,
                "milvus_conn_id": self.milvus_conn_id,
                "database": self.database,
                "poll_interval": self.poll_interval,
                "min_attempts": self.min_attempts,
                "end": self.end,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield events for :func:`read_demand`."""
        while True:
            try:
                async with aclosing(self._watch()) as watched:
                    async for demanded in watched:
                        yield TriggerEvent(demanded.as_dict())  # type: ignore[no-untyped-call]
                        if self.end is not None:
                            return
            except MilvusError as error:
                if self.end is not None:
                    yield TriggerEvent(error_event(error))  # type: ignore[no-untyped-call]
                    return
                # An event would start a DAG run, and the connection may be mended while this waits.
                self.log.error("The watch of %s stopped and begins again: %s", ", ".join(self.collection_names), error)
            await asyncio.sleep(self.poll_interval)

    async def _watch(self) -> AsyncGenerator[Wanted]:
        from airflow_provider_milvus.reclaim.demand import Demand

        hook, trouble = MilvusHook(self.milvus_conn_id, self.database), ""
        async with hook.async_client() as client:
            metrics = hook.needed_metrics()
            demand = Demand(
                self.collection_names,
                hook.settings.database,
                min_attempts=self.min_attempts,
                skip_missing=self.log.warning if self.end is None else None,
            )
            while True:
                try:
                    demands = await self._look(client, metrics, demand, hook)
                    trouble = ""
                except (MilvusMetricsError, MilvusUnavailableError, MilvusTimeoutError) as error:
                    self.log.warning("A look for demand failed, and the next one tries again: %s", error)
                    demands, trouble = [], f" At the last look: {error}"
                for demanded in demands:
                    self.log.info("%s", demanded)
                    yield demanded
                if self._left <= 0:
                    raise MilvusTimeoutError(
                        f"No search came for {', '.join(self.collection_names)} in database {hook.settings.database!r} while "
                        f"it was not in memory.{trouble}"
                    )
                await asyncio.sleep(min(self.poll_interval, self._left))

    async def _look(self, client: AsyncBoundedClient, metrics: MetricsSource, demand: Demand, hook: MilvusHook) -> list[Wanted]:
        demand.count(await metrics.attempts())
        deadline = hook.deadline().at_most(max(self._left, LAST_LOOK))
        return await client.run(demand.look(), deadline)

    @property
    def _left(self) -> float:
        return float("inf") if self.end is None else self.end - time.time()


def read_demand(event: Any) -> dict[str, Any]:
    """The trigger's event in the resumed task: ``collection``, ``database`` and ``attempts``.

    :raises MilvusError: the wait ended with this error.
    """
    return read_event(event, "collection")
