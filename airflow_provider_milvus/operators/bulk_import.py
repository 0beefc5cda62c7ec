"""Bulk import: a job that a server carries out by itself, watched until its rows are served.

What it does is in ``imports/`` and ``bulk_import/condition.py``, imported when a task runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import name
from airflow_provider_milvus.exceptions import MilvusImportError, MilvusInvalidArgumentError
from airflow_provider_milvus.operators.base import MilvusWriteOperator, WatchedOperator, result
from airflow_provider_milvus.operators.import_files import file_groups
from airflow_provider_milvus.operators.prepare_import import MilvusPrepareImportOperator
from airflow_provider_milvus.operators.run_notes import RetryNotes
from airflow_provider_milvus.triggers.milvus import outcome, resumed_with

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.bulk_import.job import Target
    from airflow_provider_milvus.bulk_import.submit import Submission
    from airflow_provider_milvus.client.client import BoundedClient
    from airflow_provider_milvus.client.flow import Deadline, Flow
    from airflow_provider_milvus.conditions import Condition
    from airflow_provider_milvus.hooks.milvus import MilvusHook

__all__ = ["MilvusBulkImportOperator", "MilvusPrepareImportOperator"]

DEFAULT_TIMEOUT = 3600.0
STAGES = ("import", "index", "refresh")


class MilvusBulkImportOperator(WatchedOperator, MilvusWriteOperator):
    """Import files into a collection; done when their rows are indexed and, if the collection is loaded, served.

    The job is submitted, then watched; then every index is waited for, a loaded collection is refreshed, and its rows are
    counted. A retry attaches to the job that an earlier try began, whatever became of that try, and imports anew only what has
    failed. Milvus cannot cancel an import: when the task is killed or its time is up, the job goes on.

    An import adds rows. It does not replace those with the same keys, and a task that has succeeded and is cleared imports
    again.

    Returns ``collection``, ``database``, ``job_ids``, ``files``, ``rows`` (imported), ``rows_before`` and ``rows_after``
    (``None`` where the collection is not loaded, so that they cannot be counted), ``attached``, and ``seconds``; ``alias`` if
    one was given.

    :param collection_name: the collection, or an alias of it. (templated)
    :param files: a path; a list of paths; a list of lists, each one file or the NumPy files of the same rows; or what
        ``MilvusPrepareImportOperator`` returned. Milvus 2.3 takes absolute paths of its local storage, or keys in its bucket;
        later versions take keys in its bucket; Zilliz Cloud URLs. (templated)
    :param partition_name: import into this partition. (templated)
    :param options: options of the server, such as ``{"timeout": "300s"}``. (templated)
    :param storage_conn_id: an Airflow connection with the keys of the object storage, for Zilliz Cloud: as login and password,
        or as an AWS connection has them in its extra. (templated)
    :param wait_for_index: wait until the indexes have taken in the rows. A collection without one is not waited for.
    :param refresh: refresh the collection if it is loaded: without it, a search does not find the rows.
    :param probe: count the rows with strong consistency afterwards, and fail unless all that were imported are there. Set it to
        False where others delete rows at the same time.
    :param reattach: look for what an earlier try began. False imports anew in each try.
    :param timeout: seconds for all of it; an hour by default.
    :param poll_interval: seconds between two looks, at most; the worker looks more often at the beginning.
    :param stall_timeout: fail when nothing moves for so many seconds; None: only ``timeout`` ends it.
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :raises MilvusImportError: a file was not imported; each is named with its reason. From Milvus 2.4 on nothing is in then; of
        Milvus 2.3 the other files are. Or the rows are not served.
    :raises MilvusUnsupportedError: the server is Milvus Lite. Nothing was changed.
    :raises MilvusConfigurationError: the storage's connection holds no keys. Nothing was sent.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: nothing was changed.
    :raises MilvusTimeoutError: it did not end in time; the server goes on with it, and a retry attaches to it.
    """

    template_fields: Sequence[str] = (
        *WatchedOperator.template_fields,
        "files",
        "partition_name",
        "options",
        "storage_conn_id",
    )

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
        timeout: float | None = DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.files = files
        self.partition_name = partition_name
        self.options = options
        self.storage_conn_id = storage_conn_id
        self.wait_for_index = wait_for_index
        self.refresh = refresh
        self.probe = probe
        self.reattach = reattach
        self._job_ids: list[str] = []

    def execute(self, context: Context) -> dict[str, Any]:
        given, began, hook = name("collection_name", self.collection_name), time.time(), self.hook()
        target = self._target(hook, given)
        files = file_groups("files", self.files, as_urls=target.object_urls)
        with hook.client() as client:
            deadline = hook.deadline()
            collection, submission = client.run(self._submitted(target, files, RetryNotes(context)), deadline)
            self._job_ids = submission.job_ids
            state = {
                "collection": collection,
                "alias": given if given != collection else None,
                "submission": submission.as_dict(),
                "attached": submission.attached,
                "began": began,
                "end": time.time() + deadline.remaining,
                "stage": 0,
            }
            return self._go_on(context, hook, client, state, deadline)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resumed by the trigger's event, after each of the stages that had to be waited for."""
        from airflow_provider_milvus.client.flow import LOOK_TIMEOUT, Deadline

        outcome(event)
        hook, submitted = self.hook(), resumed_with(event)
        with hook.client() as client:
            # The last stage may end just in time, and the rows are still to be counted.
            deadline = Deadline(max(submitted["end"] - time.time(), LOOK_TIMEOUT))
            return self._go_on(context, hook, client, submitted, deadline)

    def on_kill(self) -> None:
        if self._job_ids:
            self.log.warning(
                "Milvus cannot cancel an import: job %s goes on. A retry attaches to it.", ", ".join(self._job_ids)
            )

    def _target(self, hook: MilvusHook, collection: str) -> Target:
        from airflow_provider_milvus.bulk_import.job import Target
        from airflow_provider_milvus.bulk_import.storage_connection import StorageConnection

        options = self.options or {}
        if not isinstance(options, Mapping):
            raise MilvusInvalidArgumentError(f"options must be a dict, not {type(options).__name__}.")
        storage = StorageConnection.read(self.storage_conn_id).for_server() if self.storage_conn_id else {}
        return Target(
            collection,
            name("partition_name", self.partition_name) if self.partition_name else "",
            {str(key): str(value) for key, value in options.items()},
            object_urls=bool(hook.settings.cloud or storage),
            storage=storage,
        )

    def _submitted(self, target: Target, files: list[list[str]], notes: RetryNotes) -> Flow[tuple[str, Submission]]:
        from dataclasses import replace

        from airflow_provider_milvus.bulk_import import import_api
        from airflow_provider_milvus.bulk_import.submit import submit
        from airflow_provider_milvus.client.reads import describe, real_name

        api = yield from import_api()
        described = yield from describe(target.collection_name)
        collection = real_name(described)
        submission = yield from submit(
            api,
            replace(target, collection_name=collection),
            files,
            collection_id=int(described.collectionID),
            rows_before=(yield from self._rows(collection)),
            noted=notes.read() if self.reattach else {},
            keep=lambda submission: notes.write(submission.as_dict()),
            report=self.log.info,
        )
        return collection, submission

    def _rows(self, collection: str) -> Flow[int | None]:
        """The rows of a collection; ``None`` where it is not in memory, and they cannot be counted."""
        from airflow_provider_milvus.client.reads import row_count
        from airflow_provider_milvus.exceptions import MilvusNotLoadedError

        try:
            return (yield from row_count(collection))
        except MilvusNotLoadedError:
            return None

    def _go_on(
        self, context: Context, hook: MilvusHook, client: BoundedClient, state: dict[str, Any], deadline: Deadline
    ) -> dict[str, Any]:
        from airflow_provider_milvus.conditions import Verdict

        for at, stage in enumerate(STAGES):
            if at < state["stage"]:
                continue
            condition = client.run(self._awaited(stage, state), deadline)
            if condition is None:
                continue
            if not self.deferrable:
                self.watch(client, condition, deadline)
            elif client.run(condition.look(), deadline).verdict is not Verdict.MET:
                self.hand_over(condition, deadline, {**state, "stage": at + 1})
        return self._finished(context, hook, client, state, deadline)

    def _awaited(self, stage: str, state: dict[str, Any]) -> Flow[Condition | None]:
        """What has to hold before the next stage; ``None`` if there is nothing to wait for."""
        from airflow_provider_milvus.bulk_import.condition import SubmittedImport
        from airflow_provider_milvus.bulk_import.submit import Submission
        from airflow_provider_milvus.conditions import IndexBuilt, load_states
        from airflow_provider_milvus.conditions.collection import described_indexes
        from airflow_provider_milvus.server.load_release import submit_refresh

        collection = state["collection"]
        if stage == "import":
            return SubmittedImport(collection, Submission.of(state["submission"]).job_ids)
        if stage == "index":
            indexed = self.wait_for_index and (yield from described_indexes(collection))
            return IndexBuilt(collection) if indexed else None
        ((loaded, _),) = yield from load_states(collection)
        if not self.refresh or loaded != "Loaded":
            return None
        return (yield from submit_refresh(collection))

    def _finished(
        self, context: Context, hook: MilvusHook, client: BoundedClient, state: dict[str, Any], deadline: Deadline
    ) -> dict[str, Any]:
        from airflow_provider_milvus.bulk_import import import_api
        from airflow_provider_milvus.bulk_import.submit import Submission

        collection, submission = state["collection"], Submission.of(state["submission"])

        def imported() -> Flow[int | None]:
            api = yield from import_api()
            counts = [each.rows for each in (yield from api.jobs(collection, submission.job_ids))]
            return None if None in counts else sum(each or 0 for each in counts)

        rows = client.run(imported(), deadline)
        after = client.run(self._rows(collection), deadline)
        if self.probe and self.refresh:
            _check(collection, rows, submission.rows_before, after)
        files = [path for group in submission.files for path in group]
        self.wrote(context, hook, collection, alias=state["alias"], from_files=files, rows=rows)
        RetryNotes(context).forget()
        return result(
            hook,
            collection,
            state["began"],
            **({"alias": state["alias"]} if state["alias"] else {}),
            job_ids=submission.job_ids,
            files=len(files),
            rows=rows,
            rows_before=submission.rows_before,
            rows_after=after,
            attached=state["attached"],
        )


def _check(collection: str, rows: int | None, before: int | None, after: int | None) -> None:
    """Fail unless the imported rows can be counted; what is not known is not judged."""
    if rows is not None and after is not None and after < (before or 0) + rows:
        counted = f"{before} before and " if before is not None else ""
        raise MilvusImportError(
            f"The import of {rows} rows into {collection!r} completed, yet there are {counted}{after} after it: not all "
            "of them are served. A retry looks again. Where others delete rows at the same time, set probe=False."
        )
