"""The rules of a reclaim as arguments: of the operator that releases, and of the one that plays them back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusUnsupportedError
from airflow_provider_milvus.operators.base import MilvusOperator
from airflow_provider_milvus.operators.dates import date_in_name

if TYPE_CHECKING:
    from airflow_provider_milvus.reclaim.policy import Policy

LEAST_IDLE_FOR_BUDGET = timedelta(hours=1)
"""A budget releases only what has been idle for this time, where use is known and ``min_idle`` says nothing else."""
SPANS_TO_ORDER_BY = (timedelta(days=1), timedelta(days=7))
"""Use is asked for over these spans, too, so that the coldest collections go first."""


def databases_in_scope(databases: list[str] | None, own: str) -> list[str] | None:
    """The databases that the DAG names, or else the connection's ``own``; None: all databases of the server."""
    return None if databases == ["*"] else databases or [own]


class ReclaimRules(MilvusOperator):
    """Base of both.

    :param collections: patterns of names in scope, such as ``"events_*"``; case matters. By default all names, which needs one
        of the four rules.
    :param exclude: patterns of names that always stay; by default none.
    :param databases: one database, several, or ``"*"`` for all; by default ``database``, or else the connection's.
    :param older_than: release what is older than this time, from the start of the day in its name to the DAG run's logical date
        (``run_after`` where a run has none). A timedelta, or an ISO 8601 duration such as ``"P7D"``. A collection without a
        date in its name stays.
    :param idle_for: release what was certainly neither searched nor queried for this time, a timedelta or an ISO 8601 duration
        such as ``"PT36H"``. It needs the connection's ``metrics_url``.
    :param loaded_for: release what every run of this task has seen loaded for this time, a timedelta or an ISO 8601 duration.
    :param memory_budget: release the coldest until the rest fits: ``"64GiB"``, or a share of the query nodes' memory, such as
        ``"70%"``. Where use is known (``metrics_url``), only what was idle for ``min_idle``, or else for an hour, is released.
        Unknown sizes do not count.
    :param min_idle: keep what was not certainly idle for this time, a timedelta or an ISO 8601 duration. It needs
        ``metrics_url``.
    :param date_format: how a name has its date, as for ``strptime``; ``"%Y%m%d"`` by default. Without a day it is the first of
        the month.
    :param timezone: the time zone in which a day starts; ``"UTC"`` by default.
    :param keep_aliased: keep a collection that has an alias; True by default.
    :param max_releases: the greatest number of releases; the coldest go first. By default there is no limit.
    """

    collections = OptionalArgument(kinds.check_patterns)
    exclude = OptionalArgument(kinds.check_patterns, widens=True, nothing="-", empty_list="written")
    databases = OptionalArgument(kinds.check_databases)
    older_than = OptionalArgument(kinds.check_age, widens=True, nothing="any")
    idle_for = OptionalArgument(kinds.check_span, widens=True, nothing="any")
    loaded_for = OptionalArgument(kinds.check_span, widens=True, nothing="any")
    memory_budget = OptionalArgument(kinds.check_size, widens=True, nothing="any")
    min_idle = OptionalArgument(kinds.check_span, widens=True, nothing="any")
    date_format = Argument(kinds.check_text)
    timezone = Argument(kinds.check_timezone)
    keep_aliased = Argument(kinds.check_flag)
    max_releases = OptionalArgument(kinds.whole_number(1), widens=True, nothing="any")

    def policy(self, now: datetime, changes: Mapping[str, Any] | None = None) -> Policy:
        """The rules as they are at ``now``, with ``changes`` to some of the arguments. A share as the budget is still 0.

        :raises MilvusInvalidArgumentError: they can never work.
        """
        from airflow_provider_milvus.reclaim.policy import Policy

        rule = partial(self.rule, changes=changes or {})
        budget = rule("memory_budget")
        try:
            return Policy(
                patterns=rule("collections") or (),
                exclude=rule("exclude") or (),
                older_than=rule("older_than"),
                idle_for=rule("idle_for"),
                loaded_for=rule("loaded_for"),
                min_idle=rule("min_idle"),
                # A share becomes bytes when the server has reported its memory.
                budget=None if budget is None else int(budget),
                max_releases=rule("max_releases"),
                date_of=date_in_name(self, rule("date_format"), rule("timezone")),
                now=now,
                keep_aliased=rule("keep_aliased"),
            )
        except ValueError as error:
            raise self.wrong(
                f"{error}. Set one or more of collections, older_than, idle_for, loaded_for and memory_budget."
            ) from None

    def rule(self, name: str, changes: Mapping[str, Any]) -> Any:
        """An argument, or what ``changes`` has in its place."""
        return self._arguments[name].check_given(changes[name]) if name in changes else getattr(self, name)

    def with_use(self, policy: Policy, has_metrics: bool) -> Policy:
        """The policy where use is known, or is not.

        :raises MilvusInvalidArgumentError: it needs metrics, and there are none.
        """
        if has_metrics:
            is_budget_alone = policy.budget is not None and policy.min_idle is None
            return replace(policy, min_idle=LEAST_IDLE_FOR_BUDGET) if is_budget_alone else policy
        if policy.idle_for is not None or policy.min_idle is not None:
            raise self.wrong(f"idle_for and min_idle need metrics: set metrics_url in the connection {self.milvus_conn_id!r}.")
        return policy

    def with_budget(self, policy: Policy, share: Any, memory: int | None) -> Policy:
        """The policy with the bytes of a budget that is a share of the query nodes' ``memory``.

        :raises MilvusUnsupportedError: the server does not report it.
        """
        if not isinstance(share, kinds.Share):
            return policy
        if memory is None:
            raise MilvusUnsupportedError(
                "Nothing was released: memory_budget is a share of the query nodes' memory, which this server does not report. "
                "Give it as a size, such as '64GiB'."
            )
        return replace(policy, budget=int(share * memory))


def spans_of(policy: Policy, has_metrics: bool) -> list[timedelta]:
    """The spans over which use is asked for: none where no rule needs it."""
    needed = {span for span in (policy.idle_for, policy.min_idle) if span is not None}
    return sorted(needed | set(SPANS_TO_ORDER_BY)) if has_metrics and (needed or policy.budget is not None) else []
