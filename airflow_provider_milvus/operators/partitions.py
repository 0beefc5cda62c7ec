"""Operators that create and drop partitions.

The work is in ``server/partitions.py`` and ``server/drop_partitions.py``, which are imported when a task runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.operators.base import MilvusOperator, MilvusWriteOperator, result
from airflow_provider_milvus.operators.dates import date_in_name, now_of
from airflow_provider_milvus.operators.run_notes import RetryNotes

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.server.drop_partitions import Choose, Chosen, PartitionState

_DEFAULT = "_default"


class MilvusCreatePartitionOperator(MilvusOperator):
    """Create partitions of a collection; done when the server shows them. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusCreatePartitionOperator

        create = MilvusCreatePartitionOperator(
            task_id="create",
            collection_name="docs",
            partition_names="docs_{{ (dag_run.logical_date or dag_run.run_after) | ds_nodash }}",
            if_exists="skip",
        )

    A new partition is empty. With ``if_exists="skip"`` several tasks may create the same one at once. A retry knows what an
    earlier try of the same run has created.

    Returns ``collection``, ``database``, ``partitions`` (those that were asked for), ``created`` (those that this task created,
    in any of its tries) and ``seconds``.

    :param collection_name: the collection, or an alias of it.
    :param partition_names: one or more partitions.
    :param if_exists: ``"fail"``, the default, before anything is created; or ``"skip"``: leave the partition as it is.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusRefusedError: a partition exists, or the collection has a partition key. Nothing was changed.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusTimeoutError, MilvusUnavailableError: some partitions may be created. A retry creates the rest.
    """

    collection_name = Argument(kinds.check_name)
    partition_names = Argument(kinds.check_names)
    if_exists = Argument(kinds.one_of("fail", "skip"))

    def __init__(
        self, *, collection_name: str, partition_names: str | Sequence[str], if_exists: str = "fail", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import partitions

        began, hook, names = time.time(), self.hook(), self.partition_names
        with RetryNotes(context).of(creating=[self.collection_name, *names]) as tries:
            creation = partitions.create(
                self.collection_name, names, skip_if_exists=self.if_exists == "skip", tries=tries, report=self.log.info
            )
            subject, created = self.carry_out(hook, creation)
        return result(hook, subject.name, began, partitions=names, created=created)


def check_droppable(argument: str, value: Any) -> list[str]:
    """Names of partitions that can be dropped."""
    names = kinds.check_names(argument, value)
    if _DEFAULT in names:
        raise MilvusInvalidArgumentError(f"{argument} names {_DEFAULT!r}, which Milvus never drops.")
    return names


class MilvusDropPartitionOperator(MilvusWriteOperator):
    """Drop partitions **with their rows**, by name, or by pattern and age; done when the server has them no more.

    .. code-block:: python

        from datetime import timedelta

        from airflow_provider_milvus.operators.milvus import MilvusDropPartitionOperator

        retention = MilvusDropPartitionOperator(
            task_id="retention",
            collection_name="docs",
            pattern="docs_*",
            date_format="docs_%Y%m%d",
            older_than=timedelta(days=30),
            dry_run=True,
        )

    All arguments are templates. Give ``partition_names``, ``pattern`` or ``plan``. The partition ``_default`` always stays.

    Each partition is looked at twice, the second time just before its drop is sent. It stays when it is in memory (unless
    ``release``), when another one has its name by then, when its number of rows has changed, or when the collection has got an
    alias or a window since. Milvus 2.3 counts flushed rows only, and no server tells when a partition was searched last: see
    docs/partitions.md. What keeps a partition that is in ``partition_names``, other than its age, is an error; one of a pattern
    or a plan is in ``kept``.

    Returns ``collection``, ``database``, ``dropped`` and ``kept`` (entries with ``partition``, ``reason`` and, where they were
    looked at, ``rows`` and ``partition_id``), ``missing`` (names that do not exist), ``dry_run`` and ``seconds``. A dry run
    drops nothing, and has ``plan`` in place of ``dropped``.

    :param collection_name: the collection itself, not an alias.
    :param partition_names: these partitions.
    :param pattern: all partitions with such names, as ``"docs_*"``; case matters. One pattern, or several.
    :param exclude: patterns of names that always stay; by default none.
    :param plan: the ``plan`` of a dry run: exactly these partitions, each only if it is the same and has as many rows as then.
    :param older_than: only what is older than this time, from the start of the day in its name to the DAG run's logical date
        (``run_after`` where a run has none). A timedelta, or an ISO 8601 duration such as ``"P30D"``. What has no date in its
        name stays. By default the age does not matter.
    :param date_format: how a name has its date, as for ``strptime``; ``"%Y%m%d"`` by default. Without a day it is the first of
        the month.
    :param timezone: the time zone in which a day starts; ``"UTC"`` by default.
    :param release: release a partition that is in memory first; False by default. One that is being loaded, or that a window or
        the property ``airflow.reclaim`` keeps in memory, stays.
    :param drop_aliased: with ``release``, also where the collection has an alias, through which searches find the rows now;
        False by default.
    :param dry_run: only plan; False by default. This argument takes the place of a method of Airflow's operators that only
        ``airflow tasks test --dry-run`` of Airflow 2 calls.
    :param if_missing: ``"fail"``, the default, or ``"skip"``: what to do when one of ``partition_names`` does not exist.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusRefusedError: the name is an alias, the collection has a partition key, or something keeps a partition in
        ``partition_names``. The message says what was dropped before.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing
        was changed.
    :raises MilvusInDoubtError: an answer was lost, and the server (Milvus Lite) does not tell whether a partition is the same;
        or the collection was made anew since an earlier try. Cleared, the task does it to what there is.
    :raises MilvusTimeoutError, MilvusUnavailableError: some partitions may be dropped. A retry drops the rest.
    """

    collection_name = Argument(kinds.check_name)
    partition_names = OptionalArgument(check_droppable)
    pattern = OptionalArgument(kinds.check_patterns, widens=True)
    exclude = OptionalArgument(kinds.check_patterns, widens=True, nothing="-", empty_list="written")
    plan = OptionalArgument(kinds.take_any, empty_list="given")
    older_than = OptionalArgument(kinds.check_age, widens=True, nothing="any")
    date_format = Argument(kinds.check_text)
    timezone = Argument(kinds.check_timezone)
    release = Argument(kinds.check_flag)
    drop_aliased = Argument(kinds.check_flag)
    dry_run = Argument(kinds.check_flag)  # type: ignore[assignment]
    if_missing = Argument(kinds.one_of("fail", "skip"))

    def __init__(
        self,
        *,
        collection_name: str,
        partition_names: str | Sequence[str] | None = None,
        pattern: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        plan: Any = None,
        older_than: timedelta | str | None = None,
        date_format: str = "%Y%m%d",
        timezone: str = "UTC",
        release: bool = False,
        drop_aliased: bool = False,
        dry_run: bool | str = False,
        if_missing: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.take(locals())
        if sum(map(self.is_given, ("partition_names", "pattern", "plan"))) != 1:
            raise self.wrong("Give partition_names, pattern or plan, one of the three: it says which partitions to drop.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server.drop_partitions import drop

        began, hook, named = time.time(), self.hook(), self.partition_names or []
        planned = None if self.plan is None else self._planned()
        choose = self._choose(context, {*named, *(planned or {})})
        with RetryNotes(context).of(dropping=self.collection_name) as tries:
            subject, done = self.carry_out(
                hook,
                lambda deadline: drop(
                    self.collection_name,
                    choose,
                    deadline,
                    partition_names=named,
                    planned=planned,
                    release=self.release,
                    drop_aliased=self.drop_aliased,
                    dry_run=self.dry_run,
                    skip_if_missing=self.if_missing == "skip",
                    tries=tries,
                    report=self.log.info,
                ),
            )
            if done.dropped:
                self.wrote(context, hook, subject.name, partitions_dropped=len(done.dropped))
        for kept in done.kept:
            self.log.info("Partition %r stays: %s.", kept.name, kept.reason)
        going = [_entry(seen, reason) for seen, reason in (done.planned if self.dry_run else done.dropped)]
        return result(
            hook,
            subject.name,
            began,
            **{"plan" if self.dry_run else "dropped": going},
            kept=[{"partition": kept.name, "reason": kept.reason} for kept in done.kept],
            missing=done.missing,
            dry_run=self.dry_run,
        )

    def _choose(self, context: Context, named: set[str]) -> Choose:
        """What is in scope: by name, or by pattern; and by the date in the name."""
        from airflow_provider_milvus.reclaim.policy import is_over
        from airflow_provider_milvus.server.drop_partitions import Chosen

        date_of = date_in_name(self, self.date_format, self.timezone)
        now = now_of(context, self.log.info) if self.older_than is not None else None

        def chosen(name: str, reason: str) -> Chosen:
            if name == _DEFAULT:
                return Chosen(name, False, "Milvus never drops it")
            excluding = next((pattern for pattern in self.exclude or () if fnmatchcase(name, pattern)), None)
            if excluding is not None:
                return Chosen(name, False, f"excluded by {excluding!r}")
            if now is None or self.older_than is None:
                return Chosen(name, True, reason)
            is_old, age = is_over(self.older_than, date_of(name), now)
            return Chosen(name, is_old, f"{reason}, {age}" if is_old else age)

        def choose(names: Iterable[str]) -> list[Chosen]:
            in_scope = []
            for name in sorted(names):
                matching = next((pattern for pattern in self.pattern or () if fnmatchcase(name, pattern)), None)
                if name in named or matching is not None:
                    in_scope.append(chosen(name, "named" if matching is None else f"matches {matching!r}"))
            return in_scope

        return choose

    def _planned(self) -> dict[str, PartitionState]:
        from airflow_provider_milvus.server.drop_partitions import PartitionState

        try:
            entries = [
                PartitionState(str(entry["partition"]), int(entry["partition_id"]), "", entry["rows"])
                for entry in self.plan or ()
            ]
        except (TypeError, KeyError, ValueError) as error:
            raise self.wrong(
                f"plan is not what a dry run returned under 'plan': {error!r}. "
                "From a template it needs render_template_as_native_obj=True on the DAG."
            ) from None
        return {entry.name: entry for entry in entries}


def _entry(seen: PartitionState, reason: str) -> Mapping[str, Any]:
    # The id is text: it is larger than what JavaScript, and so Airflow's pages, can tell apart.
    return {"partition": seen.name, "partition_id": str(seen.partition_id), "rows": seen.rows, "reason": reason}
