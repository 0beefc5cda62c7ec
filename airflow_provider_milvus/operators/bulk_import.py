"""Bulk import: the server reads files by itself, and the task watches until their rows are served.

The steps are in ``bulk_import/stages.py``, imported when a task runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.kinds import check_files, check_flag, check_mapping, check_name, check_text, read_files
from airflow_provider_milvus.operators.base import MilvusWriteOperator, WatchedOperator, known, result
from airflow_provider_milvus.operators.run_notes import RetryNotes
from airflow_provider_milvus.triggers.milvus import outcome_of, resumed_with

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.bulk_import.job import ImportTarget
    from airflow_provider_milvus.client.client import BoundedClient
    from airflow_provider_milvus.client.flow import Deadline
    from airflow_provider_milvus.hooks.milvus import MilvusHook


class MilvusBulkImportOperator(WatchedOperator, MilvusWriteOperator):
    """Import files into a collection. Success means that their rows are indexed and, if the collection is loaded, served.

    The task submits an import job and watches it. Then it waits for every index, refreshes a collection that is loaded, and
    counts its rows. A retry attaches to the job that an earlier try began, even if the worker was lost, and imports anew only
    files that failed. Milvus cannot cancel an import: when the task is killed or its time is up, the job goes on.

    An import adds rows. It does not replace rows with the same keys, and a task that has succeeded and is cleared imports
    again.

    Returns ``collection``, ``database``, ``job_ids``, ``files``, ``rows`` (imported), ``rows_before`` and ``rows_after``
    (``None`` where the collection is not loaded, so that its rows cannot be counted), ``attached`` (an earlier try began the
    import), and ``seconds``; ``alias`` if one was given.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusBulkImportOperator

        bulk_import = MilvusBulkImportOperator(task_id="bulk_import", collection_name="docs", files="docs/part-1.parquet")

    :param collection_name: the collection, or an alias of it. (templated)
    :param files: a path; a list of paths; a list of lists, each one file or the NumPy files of the same rows; or what
        ``MilvusPrepareImportOperator`` returned, in one task or in several. Milvus 2.3 takes absolute paths of its local
        storage, or keys in its bucket; later versions take keys in its bucket; Zilliz Cloud URLs. An empty list is nothing to
        do, and nothing is sent. (templated)
    :param partition_name: import into this partition. (templated)
    :param options: options of the server, such as ``{"timeout": "300s"}``. (templated)
    :param storage_conn_id: an Airflow connection with the keys of the object storage, for Zilliz Cloud: as login and password,
        or as an AWS connection has them in its extra. (templated)
    :param wait_for_index: wait until the indexes have taken in the rows. A collection without an index is not waited for.
    :param refresh: refresh the collection if it is loaded. Without a refresh a search does not find the rows.
    :param probe: count the rows with strong consistency afterwards, and fail unless all imported rows are there. Set it to
        False where others delete rows at the same time.
    :param reattach: look for the jobs that an earlier try began. False imports anew in each try.
    :param timeout: seconds for the whole operation; an hour by default.
    :param poll_interval: seconds between two looks, at most; the worker looks more often at the beginning.
    :param stall_timeout: fail when nothing moves for this many seconds; None: only ``timeout`` ends the wait.
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :raises MilvusImportError: some files were not imported; the message names them with their reasons. On Milvus 2.3 the rows
        of the other files are in, on later versions none are. Or not all rows are served.
    :raises MilvusUnsupportedError: the server is Milvus Lite. Nothing was changed.
    :raises MilvusInvalidArgumentError: ``files`` is None or empty text, or an argument is wrong. Nothing was sent.
    :raises MilvusConfigurationError: the storage's connection holds no keys. Nothing was sent.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: nothing was changed.
    :raises MilvusTimeoutError: the import did not end in time. The server goes on with it, and a retry attaches to it.
    """

    files = Argument(check_files, empty_list="given")
    partition_name = OptionalArgument(check_name)
    options = OptionalArgument(check_mapping)
    storage_conn_id = OptionalArgument(check_text)
    wait_for_index = Argument(check_flag)
    refresh = Argument(check_flag)
    probe = Argument(check_flag)
    reattach = Argument(check_flag)

    def __init__(
        self,
        *,
        files: Any,
        partition_name: str | None = None,
        options: Mapping[str, str] | None = None,
        storage_conn_id: str | None = None,
        wait_for_index: bool = True,
        refresh: bool = True,
        probe: bool = True,
        reattach: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.take(locals())
        self._job_ids: list[str] = []

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.bulk_import.stages import submit_import

        collection_name, began, hook = self.collection_name, time.time(), self.hook()
        target = self._target(hook, collection_name)
        files = read_files("files", self.files, as_urls=target.object_urls)
        if not files:
            self.log.info("Nothing is imported into collection %r: files is an empty list.", collection_name)
            return result(
                hook, collection_name, began, job_ids=[], files=0, rows=0, rows_before=None, rows_after=None, attached=False
            )
        tries = RetryNotes(context).tries()
        if not self.reattach:
            tries = replace(tries, earlier=None)
        with hook.client() as client:
            deadline = hook.deadline()
            submission = client.run(submit_import(target, files, tries=tries, report=self.log.info), deadline)
            self._job_ids = submission.job_ids
            state = {
                "submission": asdict(submission),
                "alias": collection_name if collection_name != submission.collection_name else None,
                "began": began,
                "end": time.time() + deadline.remaining,
                "stage": 0,
            }
            return self._go_on(context, hook, client, state, deadline)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Go on after a stage that was waited for in the triggerer."""
        from airflow_provider_milvus.client.flow import LOOK_TIMEOUT, Deadline

        outcome_of(event)
        hook, submitted = self.hook(), resumed_with(event)
        with hook.client() as client:
            # The last stage may end just in time, and then there are rows to count.
            deadline = Deadline(max(submitted["end"] - time.time(), LOOK_TIMEOUT))
            return self._go_on(context, hook, client, submitted, deadline)

    def on_kill(self) -> None:
        if self._job_ids:
            self.log.warning(
                "The import goes on, since Milvus cannot cancel one: job %s. A retry attaches to it.", ", ".join(self._job_ids)
            )

    def _target(self, hook: MilvusHook, collection: str) -> ImportTarget:
        from airflow_provider_milvus.bulk_import.job import ImportTarget
        from airflow_provider_milvus.bulk_import.storage_connection import StorageConnection

        options = self.options or {}
        storage = StorageConnection.read(self.storage_conn_id).for_server() if self.storage_conn_id else {}
        return ImportTarget(
            collection,
            self.partition_name or "",
            {str(key): str(value) for key, value in options.items()},
            object_urls=bool(hook.settings.cloud or storage),
            storage=storage,
        )

    def _go_on(
        self, context: Context, hook: MilvusHook, client: BoundedClient, state: dict[str, Any], deadline: Deadline
    ) -> dict[str, Any]:
        """Wait for the stages that are left, then count the rows. ``state`` holds plain values; a deferral brings it back."""
        from airflow_provider_milvus.bulk_import.stages import STAGES, begin_stage, count_rows
        from airflow_provider_milvus.bulk_import.submit import Submission
        from airflow_provider_milvus.conditions import Verdict

        submission = Submission.from_dict(state["submission"])
        for number, stage in enumerate(STAGES[state["stage"] :], state["stage"] + 1):
            flow = begin_stage(stage, submission, wait_for_index=self.wait_for_index, refresh=self.refresh)
            condition = client.run(flow, deadline)
            if condition is None:
                continue
            if not self.deferrable:
                self.watch(client, condition, deadline)
            elif client.run(condition.look(), deadline).verdict is not Verdict.MET:
                self.hand_over(condition, deadline, {**state, "stage": number})
        rows, rows_after = client.run(count_rows(submission, probe=self.probe and self.refresh), deadline)
        collection_name, alias = submission.collection_name, state["alias"]
        files = [path for group in submission.files for path in group]
        self.wrote(context, hook, collection_name, alias=alias, from_files=files, rows=rows)
        RetryNotes(context).forget()
        return result(
            hook,
            collection_name,
            state["began"],
            **known(alias=alias),
            job_ids=submission.job_ids,
            files=len(files),
            rows=rows,
            rows_before=submission.rows_before,
            rows_after=rows_after,
            attached=submission.attached,
        )
