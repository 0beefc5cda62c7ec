"""Operators for snapshots: a collection as it was at one moment, kept by the server. Milvus 3 and pymilvus 3 have them.

The work is in ``server/snapshots.py``, which is imported when a task runs.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.kinds import check_flag, check_name, check_text, one_of, whole_number
from airflow_provider_milvus.operators.base import HOUR, MilvusOperator, MilvusWriteOperator, WatchedOperator, result
from airflow_provider_milvus.operators.run_notes import RetryNotes

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.hooks.milvus import MilvusHook


class MilvusCreateSnapshotOperator(MilvusOperator):
    """Take a snapshot of a collection; done when the server shows it. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusCreateSnapshotOperator

        snapshot = MilvusCreateSnapshotOperator(task_id="snapshot", collection_name="docs", snapshot_name="docs_monday")

    A snapshot holds what is on storage, so the collection is flushed first. A retry accepts the snapshot of an earlier try. It
    needs Milvus 3 and pymilvus 3.

    Returns ``collection``, ``database``, ``snapshot``, ``created``, ``create_ts`` (the server's own number) and ``seconds``.

    :param collection_name: the collection, or an alias of it.
    :param snapshot_name: the snapshot, unique within the collection.
    :param description: text that is kept with the snapshot; none by default.
    :param protect_seconds: seconds for which the server does not compact the snapshot's segments away; 0 by default.
    :param flush: flush first; True by default. With False the snapshot lacks rows that are not on storage yet.
    :param if_exists: ``"fail"``, the default, or ``"skip"``: succeed when the collection has a snapshot of this name. It is
        never replaced.
    :param timeout: seconds for the whole operation; 3600 by default.
    :raises MilvusRefusedError: the collection has a snapshot of this name. Nothing was changed.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusUnsupportedError: the server, or the installed pymilvus, has no snapshots. Nothing was changed.
    :raises MilvusTimeoutError, MilvusUnavailableError: the snapshot was not seen in time. The server may still take it.
    """

    collection_name = Argument(check_name)
    snapshot_name = Argument(check_name)
    description = OptionalArgument(check_text)
    protect_seconds = Argument(whole_number())
    flush = Argument(check_flag)
    if_exists = Argument(one_of("fail", "skip"))

    def __init__(
        self,
        *,
        collection_name: str,
        snapshot_name: str,
        description: str | None = None,
        protect_seconds: int = 0,
        flush: bool = True,
        if_exists: str = "fail",
        timeout: float | timedelta = HOUR,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import snapshots

        collection, snapshot = self.collection_name, self.snapshot_name
        began, hook = time.time(), self.hook()
        with RetryNotes(context).of(snapshot=snapshot, of=collection) as tries:
            taken, created = self.carry_out(
                hook,
                lambda deadline: snapshots.create_snapshot(
                    collection,
                    snapshot,
                    deadline,
                    description=self.description or "",
                    protect_seconds=self.protect_seconds,
                    flush=self.flush,
                    skip_if_exists=self.if_exists == "skip",
                    tries=tries,
                    report=self.log.info,
                ),
            )
        return result(
            hook,
            taken.collection_name or collection,
            began,
            snapshot=snapshot,
            created=created or tries.earlier is not None,
            create_ts=int(taken.create_ts),
        )


class MilvusRestoreSnapshotOperator(WatchedOperator, MilvusWriteOperator):
    """Restore a snapshot into a new collection of the same database; done when the server says Completed of the job.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusRestoreSnapshotOperator

        restore = MilvusRestoreSnapshotOperator(
            task_id="restore",
            collection_name="docs",
            snapshot_name="docs_monday",
            target_collection_name="docs_restored",
        )

    All arguments are templates. Afterwards the new collection is not in memory. A retry watches the job of an earlier try,
    unless the job has failed. It needs Milvus 3 and pymilvus 3.

    Returns ``collection`` (the new one), ``database``, ``snapshot``, ``job_id`` (as text), ``state`` and ``seconds``.

    :param collection_name: the collection that the snapshot was taken of.
    :param snapshot_name: the snapshot.
    :param target_collection_name: the new collection. No collection or alias may have this name.
    :param timeout: seconds for the whole operation; 3600 by default.
    :param poll_interval: seconds between two looks, at most; 2 by default. A worker looks more often at the beginning.
    :param stall_timeout: fail when the progress stands still for this number of seconds; by default only ``timeout`` ends the
        wait.
    :param deferrable: wait in the triggerer; by default what ``[operators] default_deferrable`` says.
    :raises MilvusRefusedError: a collection or an alias has the target's name. Nothing was changed.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusUnsupportedError: the server, or the installed pymilvus, has no snapshots. Nothing was changed.
    :raises MilvusServerError: the job failed, with the server's reason. A part of the target may exist.
    :raises MilvusLoadStalledError, MilvusTimeoutError: the job did not end in time. The server goes on with it.
    """

    snapshot_name = Argument(check_name)
    target_collection_name = Argument(check_name)

    def __init__(self, *, snapshot_name: str, target_collection_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import snapshots

        collection, snapshot = self.collection_name, self.snapshot_name
        target, hook = self.target_collection_name, self.hook()
        with RetryNotes(context).of(restore=snapshot, of=collection, into=target) as tries:
            restore = snapshots.submit_restore(
                snapshot, collection, target, database=hook.settings.database, tries=tries, report=self.log.info
            )
            submitted = {"collection": target, "snapshot": snapshot, "source": collection}
            return self.submit(context, hook, restore, lambda job: (job, {**submitted, "job_id": str(job.job_id)}))

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        with RetryNotes(context).of():
            return super().execute_complete(context, event)

    def finish(self, context: Context, hook: MilvusHook, submitted: dict[str, Any], state: str) -> dict[str, Any]:
        source = submitted.pop("source")
        self.wrote(context, hook, submitted["collection"], from_collections=[source], snapshot=submitted["snapshot"])
        return super().finish(context, hook, submitted, state)
