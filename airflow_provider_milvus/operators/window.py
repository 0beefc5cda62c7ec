"""``milvus_loaded``: a collection is in memory for as long as some tasks of a DAG need it, and for no longer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import Argument
from airflow_provider_milvus.exceptions import MilvusError, MilvusInvalidArgumentError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.kinds import check_name, check_seconds
from airflow_provider_milvus.operators.base import HOUR, MilvusOperator, known
from airflow_provider_milvus.operators.memory import UNDO_TIMEOUT, MilvusLoadCollectionOperator
from airflow_provider_milvus.triggers.milvus import resumed_with

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.client.flow import Flow
    from airflow_provider_milvus.server.load_release import Submitted

DAY = 86400.0


class MilvusWindowLoadOperator(MilvusLoadCollectionOperator):
    """Open a window: mark the collection as needed, and load it. :func:`milvus_loaded` makes one.

    As :class:`MilvusLoadCollectionOperator`, with ``window``, its id, added to the result. When the load fails or is killed,
    the window is closed at once: what it loaded is released unless another window needs it. A *deferred* load that is killed
    leaves its mark until ``at_most``.

    :param at_most: seconds after which other windows no longer wait for this one to close.
    """

    at_most = Argument(check_seconds)

    def __init__(self, *, at_most: float | timedelta = DAY, **kwargs: Any) -> None:
        super().__init__(on_timeout="leave", release_on_kill=False, **kwargs)
        self.at_most = at_most
        self._window = ""
        self._submitted = False

    def execute(self, context: Context) -> dict[str, Any]:
        self._window = _id_of(context)
        try:
            return {**super().execute(context), "window": self._window}
        except MilvusError:
            if self._submitted:
                self._give_up()
            raise

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resumed by the trigger's event."""
        self._window = _id_of(context)
        try:
            return {**super().execute_complete(context, event), "window": self._window}
        except MilvusError:
            self._give_up(resumed_with(event))
            raise

    def on_kill(self) -> None:
        """Called in the worker when the task is killed, cleared or times out."""
        if self._submitted and self._loading is not None:
            self._give_up()

    def _submit(self, collection: str, partitions: list[str] | None) -> Flow[Submitted]:
        from airflow_provider_milvus.server.windows import open_window

        self._submitted = True
        return open_window(
            collection,
            self._window,
            now=time.time(),
            at_most=self.at_most,
            options=self._options(),
            report=self.log.info,
        )

    def _give_up(self, submitted: dict[str, Any] | None = None) -> None:
        from airflow_provider_milvus.client.flow import Deadline
        from airflow_provider_milvus.server.windows import close_window

        collection, before = self.collection_name, "unknown"
        if submitted is not None:
            collection, before = submitted["condition"]["collection_name"], submitted["previous_state"]
        elif self._loading is not None:
            condition = self._loading[1]
            collection, before = condition.collection_name, "NotLoad" if condition.started else "Loaded"
        deadline = Deadline(UNDO_TIMEOUT)
        try:
            with self.hook().client() as client:
                closed = client.run(
                    close_window(
                        collection,
                        self._window,
                        deadline,
                        now=time.time(),
                        previous_state=before,
                        force=True,
                        report=self.log.info,
                    ),
                    deadline,
                )
        except MilvusError as error:
            self.log.warning("The window could not be closed after its load had failed: %s", error)
        else:
            self.log.info("The window was closed; %r is %s: %s.", collection, closed.state, closed.reason)


def check_window(argument: str, value: Any) -> dict[str, Any]:
    """What :class:`MilvusWindowLoadOperator` returned."""
    if not isinstance(value, dict) or not value.keys() >= {"window", "collection", "previous_state"}:
        raise MilvusInvalidArgumentError(f"{argument} must be what the task that opened it returned, not {value!r}.")
    check_name(f"the collection in {argument}", value["collection"])
    return value


class MilvusWindowReleaseOperator(MilvusOperator):
    """Close a window: release what windows loaded, when no other window needs it. :func:`milvus_loaded` makes one.

    Returns ``collection``, ``database``, ``state``, ``released`` and ``reason``, which says why it was left in memory if it
    was; that is no failure.

    :param window: what :class:`MilvusWindowLoadOperator` returned. (templated)
    :raises MilvusDatabaseNotFoundError: the database does not exist. A missing collection is a success.
    :raises MilvusTimeoutError: it was not seen as NotLoad in time; the server may still release it.
    """

    window = Argument(check_window)

    def __init__(self, *, window: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window = window

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server.windows import close_window

        hook = self.hook()
        opened = self.window
        with hook.client() as client:
            deadline = hook.deadline()
            closed = client.run(
                close_window(
                    opened["collection"],
                    opened["window"],
                    deadline,
                    now=time.time(),
                    previous_state=opened["previous_state"],
                    report=self.log.info,
                ),
                deadline,
            )
        what = "released" if closed.released else f"left as it is ({closed.state})"
        self.log.info("Collection %r was %s: %s.", closed.collection, what, closed.reason)
        return {
            "collection": closed.collection,
            "database": hook.settings.database,
            "state": closed.state,
            "released": closed.released,
            "reason": closed.reason,
        }


@dataclass(frozen=True, slots=True)
class LoadedWindow:
    """The two tasks around a window: its setup and its teardown."""

    load: MilvusWindowLoadOperator
    release: MilvusWindowReleaseOperator


@contextmanager
def milvus_loaded(
    collection_name: str,
    *,
    task_suffix: str | None = None,
    milvus_conn_id: str = MilvusHook.default_conn_name,
    database: str | None = None,
    timeout: float | timedelta = HOUR,
    release_timeout: float | timedelta | None = None,
    at_most: float | timedelta = DAY,
    on_failure_fail_dagrun: bool = False,
    **load_options: Any,
) -> Iterator[LoadedWindow]:
    """A collection is in memory while the tasks made in this block run, and released afterwards if windows loaded it.

    .. code-block:: python

        with milvus_loaded("docs"):
            search() >> summarize()

    It makes two tasks, ``load_docs`` and ``release_docs``, Airflow's setup and teardown of those in the block: the release runs
    whether they succeed or fail, and clearing one of them loads the collection anew. What was in memory before the window
    stays, and so does what another window needs, of any DAG that uses this function: the last window to close releases what
    the first one loaded. It also stays when it has got an alias since. The result of ``release_docs`` says why.

    Windows see one another by marks in collection properties (``airflow.loaded_by.…``). *What they cannot see* is somebody
    who begins to use the collection, or loads it once more, without a window: for that it is in memory only as long as the
    windows last. There is no lock either: a window that opens in the very moment in which the last one releases can find the
    collection out of memory for as long as a load takes; it is loaded again then. Where the server keeps no properties,
    windows do not see one another, and each releases what was NotLoad when it opened.

    :param collection_name: the collection, or an alias of it. (templated)
    :param task_suffix: what the two task ids end in; needed when the name is a template or stands in two windows of a DAG.
    :param milvus_conn_id: the connection. (templated)
    :param database: the database; None: the connection's. (templated)
    :param timeout: seconds for the load; an hour by default.
    :param release_timeout: seconds for the release; left out: the connection's ``timeout``.
    :param at_most: seconds after which a window that has not closed, since its run was lost, no longer keeps the collection
        in memory. Longer than the tasks in it can take.
    :param on_failure_fail_dagrun: a failed release fails the run. Mind that Airflow then judges the run by the release
        *instead of* the tasks in the block: it succeeds though they have failed, unless a task outside depends on them.
    :param load_options: of :class:`MilvusLoadCollectionOperator`, such as ``replica_number``, ``deferrable`` or ``retries``;
        not ``on_timeout`` and ``release_on_kill``: a load that fails or is killed is always taken back, unless another
        window needs it.
    """
    suffix = (
        check_name("collection_name", collection_name) if task_suffix is None and "{" not in collection_name else task_suffix
    )
    if suffix is None:
        raise MilvusInvalidArgumentError(f"task_suffix is needed with the template {collection_name!r}.")
    where = known(milvus_conn_id=milvus_conn_id, database=database)
    load = MilvusWindowLoadOperator(
        task_id=f"load_{suffix}", collection_name=collection_name, timeout=timeout, at_most=at_most, **where, **load_options
    )
    release = MilvusWindowReleaseOperator(task_id=f"release_{suffix}", window=load.output, timeout=release_timeout, **where)
    with release.as_teardown(setups=load, on_failure_fail_dagrun=on_failure_fail_dagrun):
        yield LoadedWindow(load, release)


def _id_of(context: Context) -> str:
    """The same for every try of a task; other windows show it when they wait for this one."""
    task_instance = context.get("ti")
    if task_instance is None:
        return f"no DAG run {uuid.uuid4()}"
    identity = f"{task_instance.dag_id}/{task_instance.task_id}/{task_instance.run_id}"
    mapped = getattr(task_instance, "map_index", -1)
    return f"{identity}/{mapped}" if mapped is not None and mapped >= 0 else identity
