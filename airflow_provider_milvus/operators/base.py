"""What operators have in common: the connection, the wait for long work, and what Airflow is told of a change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException, AssetAlias, BaseOperator, conf

from airflow_provider_milvus.arguments import Argument, HasArguments, OptionalArgument
from airflow_provider_milvus.hooks.links import HasLinks
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.kinds import check_flag, check_name, check_seconds, check_text
from airflow_provider_milvus.triggers.milvus import BACKSTOP, MilvusConditionTrigger, outcome_of, resumed_with

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.client.client import BoundedClient
    from airflow_provider_milvus.client.flow import Deadline, Flow
    from airflow_provider_milvus.conditions import Condition, Observation
    from airflow_provider_milvus.reclaim.report import ReclaimReport
    from airflow_provider_milvus.reclaim.restore import ReloadReport

T = TypeVar("T")

HOUR = 3600.0
"""Seconds for work that a task waits for, unless the DAG says otherwise."""


class MilvusOperator(HasLinks, HasArguments, BaseOperator):
    """Base of the operators. All arguments are templates.

    :param milvus_conn_id: the connection, of type ``milvus``; ``milvus_default`` by default.
    :param database: the database; by default the connection's.
    :param timeout: seconds for the whole operation, which includes connecting and waiting; by default the connection's
        ``timeout``, which is 60 unless it says otherwise.
    :raises MilvusInvalidArgumentError: an argument can never work. It is raised when the DAG is parsed, or when the task
        renders the argument. Nothing was sent.
    """

    milvus_conn_id = Argument(check_text)
    database = OptionalArgument(check_name, widens=True)
    timeout = OptionalArgument(check_seconds)
    ui_color = "#d7f0fb"

    def __init__(
        self,
        *,
        milvus_conn_id: str = MilvusHook.default_conn_name,
        database: str | None = None,
        timeout: float | timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.begin_arguments(kwargs.get("default_args"))
        self.take(locals())

    def carry_out(self, hook: MilvusHook, flow: Flow[T] | Callable[[Deadline], Flow[T]]) -> T:
        """Run a flow, or what makes one for the deadline, with a client of its own, within the operation's ``timeout``."""
        with hook.client() as client:
            deadline = hook.deadline()
            return client.run(flow(deadline) if callable(flow) else flow, deadline)

    def hook(self) -> MilvusHook:
        self.refuse_unrendered()
        hook = MilvusHook(self.milvus_conn_id, self.database, self.timeout)
        if (most := self._execution_seconds) is not None and most < hook.operation_timeout:
            hook.timeout = most
        self.hook_in_use = hook
        return hook

    @property
    def _execution_seconds(self) -> float | None:
        """Airflow's own limit for a task, which it does not look at while the task is deferred."""
        return None if self.execution_timeout is None else float(self.execution_timeout.total_seconds())

    def log_where(self, hook: MilvusHook, sentence: str) -> None:
        """Log a sentence with the connection, the server and the database: the last line of a run."""
        self.log.info("%s %s.", sentence, hook.settings.where)

    def push_result(self, context: Context, result: object) -> None:
        """Push the result of a task that is about to fail: Airflow itself pushes only that of a success."""
        if (task_instance := context.get("ti")) is not None:
            task_instance.xcom_push(key="return_value", value=result)


def result(hook: MilvusHook, collection: str | None, began: float, **more: Any) -> dict[str, Any]:
    """The result of an operator, small and JSON-safe, and the last line of its log. ``began`` is in seconds since the epoch."""
    seconds = round(time.time() - began, 3)
    hook.log.info("Done with collection %r after %s s. %s.", collection, seconds, hook.settings.where)
    return {"collection": collection, "database": hook.settings.database, **more, "seconds": seconds}


def failed_in_part(
    kind: type[Exception], report: ReclaimReport | ReloadReport, what_failed: str, hook: MilvusHook
) -> Exception:
    """The error of a run over many collections: of ``kind``, or of the first failure's if no retry can mend any of them."""
    reasons = " ".join(f"{entry['collection']}: {entry['reason'].removesuffix('.')}." for entry in report.failed[:5])
    if len(report.errors) == len(report.failed) and all(isinstance(error, AirflowFailException) for error in report.errors):
        kind = type(report.errors[0])
    return kind(f"{report.as_sentence()} {what_failed}: {reasons} {hook.settings.where}.")


def known(**values: Any) -> dict[str, Any]:
    """The values that are not None: a result has no key for what does not apply."""
    return {key: value for key, value in values.items() if value is not None}


class WatchedOperator(MilvusOperator):
    """Base of the operators that submit long work on a collection and then watch it, in the worker or in the triggerer.

    A subclass's ``execute`` calls :meth:`submit`; or :meth:`watch`, and :meth:`hand_over` when ``deferrable``. Its
    ``execute_complete`` then gets the trigger's ``event``, which brings ``submitted`` back.

    :param collection_name: the collection.
    :param timeout: seconds for the whole operation, which includes connecting and waiting; 3600 by default.
    :param poll_interval: seconds between two looks, at most; 2 by default. A worker looks more often at the beginning.
    :param stall_timeout: fail when nothing moves for this number of seconds; by default only ``timeout`` ends the wait.
    :param deferrable: wait in the triggerer; by default what ``[operators] default_deferrable`` says.
    """

    timeout = Argument(check_seconds)
    collection_name = Argument(check_name)
    poll_interval = Argument(check_seconds)
    stall_timeout = OptionalArgument(check_seconds)
    deferrable = Argument(check_flag)

    def __init__(
        self,
        *,
        collection_name: str,
        timeout: float | timedelta = HOUR,
        poll_interval: float | timedelta = 2.0,
        stall_timeout: float | timedelta | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.take(locals())

    def watch(self, client: BoundedClient, condition: Condition, deadline: Deadline) -> Observation:
        """Wait in the worker."""
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
        """Wait in the triggerer; the task resumes in ``execute_complete``."""
        left = max(min(deadline.remaining, self._execution_seconds or deadline.remaining), 0.001)
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

    def submit(
        self,
        context: Context,
        hook: MilvusHook,
        flow: Flow[T],
        told: Callable[[T], tuple[Condition | None, dict[str, Any]]],
        *,
        without_wait: str = "",
    ) -> dict[str, Any]:
        """Submit work, wait for it here or in the triggerer, as ``deferrable`` says, and then :meth:`finish`.

        :param told: makes of what the flow returns the condition to wait for, ``None`` where all is done already, and what
            :meth:`finish` is to know.
        :param without_wait: do not wait, and finish with this state.
        """
        began = time.time()
        with hook.client() as client:
            deadline = hook.deadline()
            condition, submitted = told(client.run(flow, deadline))
            submitted["began"] = began
            if condition is None:
                state = "Completed"
            elif without_wait:
                state = without_wait
            elif self.deferrable:
                self.hand_over(condition, deadline, submitted)
            else:
                state = self.watch(client, condition, deadline).state
            return self.finish(context, hook, submitted, state)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resumed by the trigger's event."""
        return self.finish(context, self.hook(), resumed_with(event), outcome_of(event).state)

    def finish(self, context: Context, hook: MilvusHook, submitted: dict[str, Any], state: str) -> dict[str, Any]:
        """The task's result once the condition is met: ``submitted`` has ``collection``, ``began`` and the rest of it."""
        return result(hook, **submitted, state=state)


class MilvusWriteOperator(MilvusOperator):
    """Base of the operators that change what a collection holds, or which collection an alias points to.

    A task that succeeds emits an event of the asset ``milvus://host:port/database/collection``, with counts in its extra. The
    collection is known only when the task runs, so the task's outlet is an asset alias, ``milvus.<dag id>.<task id>``.

    :param outlets: in place of that alias, another alias, through which the event goes; or the asset itself, whose event gets
        the counts.
    :param asset_event: whether there is an event. False for mapped tasks after which a check emits one for all of them.
    """

    asset_event = Argument(check_flag)

    def __init__(self, *, asset_event: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(locals())
        if not self.outlets and self.asset_event:
            dag = (self.dag.dag_id,) if self.has_dag() else ()  # type: ignore[no-untyped-call]
            self.outlets = [AssetAlias(".".join(("milvus", *dag, self.task_id)))]

    def wrote(
        self,
        context: Context,
        hook: MilvusHook,
        collection: str,
        *,
        alias: str | None = None,
        from_files: Sequence[str] = (),
        from_collections: Sequence[str] = (),
        **counts: Any,
    ) -> None:
        """Tell Airflow that ``collection`` has changed. Call it once, after the change.

        :param alias: an alias through which the task wrote: it gets an event of its own, for the DAGs that wait for it.
        :param from_files: paths or URLs of the rows, for lineage only.
        :param from_collections: collections of the same database that were read, for lineage only.
        :param counts: numbers and short texts for the event's extra; other values are left out.
        """
        from airflow_provider_milvus.assets import collection_uri

        server, database = hook.settings.uri, hook.settings.database

        def uris_of(names: Sequence[str]) -> list[str]:
            return [uri for name in names if (uri := collection_uri(server, database, name)) is not None]

        written = uris_of(list(dict.fromkeys(filter(None, (collection, alias)))))
        if not written:
            self.log.info("There is no asset event for %r: %s has no host, which an asset is named after.", collection, server)
            return
        extra = {key: value for key, value in counts.items() if isinstance(value, (str, int, float))}
        for uri in written:
            self._emit(context, uri, extra)
        self._report_lineage(hook, [*map(_file_uri, from_files), *uris_of(from_collections)], written)

    def _emit(self, context: Context, uri: str, extra: dict[str, Any]) -> None:
        events = context.get("outlet_events")
        if events is None or not self.asset_event:
            return
        for outlet in self.outlets:
            if isinstance(outlet, AssetAlias):
                if hasattr(events[outlet], "dataset_alias_events"):
                    _make_known(outlet)
                _add(events[outlet], uri, extra)
            elif getattr(outlet, "uri", None) == uri:
                events[outlet].extra.update(extra)

    def _report_lineage(self, hook: MilvusHook, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        collector = get_hook_lineage_collector()  # type: ignore[no-untyped-call]
        for uri in inputs:
            collector.add_input_asset(context=hook, uri=uri)
        for uri in outputs:
            collector.add_output_asset(context=hook, uri=uri)


def _make_known(alias: AssetAlias) -> None:
    """Store the alias: Airflow 2.11 does not store those of mapped tasks, and fails a run with an alias that is not stored."""
    from airflow.models.dataset import DatasetAliasModel
    from airflow.utils.session import create_session
    from sqlalchemy.exc import IntegrityError

    try:
        with create_session() as session:
            if session.query(DatasetAliasModel).filter_by(name=alias.name).first() is None:
                session.add(DatasetAliasModel(name=alias.name))
    except IntegrityError:
        # Another of the mapped tasks has stored it.
        pass


def _add(event: Any, uri: str, extra: dict[str, Any]) -> None:
    """Add an event of the asset with that URI, by the name that a DAG gives it, or else by its URI."""
    from airflow.providers.common.compat.sdk import Asset

    if hasattr(Asset, "ref"):
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            event.add(Asset.ref(uri=uri), extra)
            return
        except AirflowRuntimeError:
            # No DAG has this asset.
            pass
    event.add(Asset(uri=uri), extra)


def _file_uri(path: str) -> str:
    from airflow_provider_milvus.rows.storage import without_secrets

    # A query, which is written as "?…", is no part of the file's name.
    return without_secrets(path).replace("?…", "") if "://" in path else Path(path).absolute().as_uri()
