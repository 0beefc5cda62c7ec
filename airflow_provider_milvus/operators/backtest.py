"""What a reclaim's rules would have done on the nights that lie behind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.operators.base import HOUR
from airflow_provider_milvus.operators.dates import now_of
from airflow_provider_milvus.operators.kept_reports import keep_backtest, read_report
from airflow_provider_milvus.operators.reclaim_rules import ReclaimRules, databases_in_scope, spans_of
from airflow_provider_milvus.wording import counted

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.reclaim.backtest import Backtest
    from airflow_provider_milvus.reclaim.look_back import LookedBack
    from airflow_provider_milvus.reclaim.policy import Policy

OWN = "this policy"
COMPARED = frozenset(
    (
        "collections",
        "exclude",
        "older_than",
        "idle_for",
        "loaded_for",
        "memory_budget",
        "min_idle",
        "keep_aliased",
        "max_releases",
    )
)
"""The rules in which another policy may differ."""


def check_policies(argument: str, value: Any) -> dict[str, dict[str, Any]]:
    """Other policies by their names: the rules in which each differs."""
    policies = kinds.check_mapping(argument, value)
    if OWN in policies:
        raise MilvusInvalidArgumentError(f"{argument} has {OWN!r}, which is the task's own: call it something else.")
    for name, changes in policies.items():
        if unknown := kinds.check_mapping(f"{argument}[{name!r}]", changes).keys() - COMPARED:
            raise MilvusInvalidArgumentError(
                f"{argument}[{name!r}] has {', '.join(sorted(unknown))}; a policy differs in {', '.join(sorted(COMPARED))}."
            )
        for rule, given in changes.items():
            # As a rule of the task itself: a slip must not pass for a policy without the rule.
            if kinds.is_nothing(given):
                raise MilvusInvalidArgumentError(
                    f"{argument}[{name!r}] has {rule} given, but empty ({given!r}): write 'any' or '-'."
                )
    return {name: dict(changes) for name, changes in policies.items()}


def check_time_of_day(argument: str, value: Any) -> tuple[int, int]:
    """Hours and minutes, as ``"03:00"``."""
    if isinstance(value, tuple):
        return value
    try:
        read = datetime.strptime(value, "%H:%M")
    except (ValueError, TypeError):
        raise MilvusInvalidArgumentError(f"{argument} must be a time of the day such as '03:00', not {value!r}.") from None
    return read.hour, read.minute


def check_picture(argument: str, value: Any) -> str:
    """A path or URL of a picture."""
    if kinds.check_text(argument, value).endswith((".png", ".svg")):
        return str(value)
    raise MilvusInvalidArgumentError(f"{argument} must end in .png or .svg, not {value!r}.")


class MilvusReclaimBacktestOperator(ReclaimRules):
    """Play the rules of a reclaim back on the history in Prometheus, and say what they would have done. It only reads.

    All arguments are templates.

    .. code-block:: python

        from datetime import timedelta

        from airflow_provider_milvus.operators.milvus import MilvusReclaimBacktestOperator

        backtest = MilvusReclaimBacktestOperator(
            task_id="backtest",
            collections=["events_*"],
            idle_for=timedelta(days=7),
            since=timedelta(days=30),
            policies={"3 days": {"idle_for": "P3D"}},
            price=0.005,
        )

    Every night is decided by the code that decides in :class:`MilvusReclaimMemoryOperator`, on what the metrics remember: which
    collections were in memory, with how many bytes, and when they were searched or queried. A search of a collection that would
    have been released counts as *missed*, and the collection as loaded again after it.

    What Prometheus does not remember is not known, and is told as that: what was scraped of some proxies only, and all before
    its own retention (15 days by default), which ``idle_for`` needs as well. Aliases, properties and windows are taken from
    what reclaim runs of this connection have seen; where none has looked lately today's are taken, and the figures are marked
    *assumed*. Collections that have been dropped since are not played. ``loaded_for`` counts from the first night on.

    Returns ``policies`` (``policy``, ``nights``, ``decided`` of them, ``releases``, ``gib_hours`` freed, ``saved``, ``missed``
    searches, ``reloads``, ``unknown`` releases, nights ``within_budget`` and ``over_budget``, ``assumed``), ``nights`` and
    ``releases`` of this policy (with ``next_use``, ``missed`` and ``all_missed_known``), ``unknown`` (from when to when the use
    is not known, and why), ``assumed``, ``warnings``, ``summary`` and ``markdown``; ``suggested`` with ``most_missed``;
    ``picture`` with ``picture``.

    :param since: the time that is played, up to the logical date: a timedelta or a duration such as
        ``"P30D"``; 30 days by default.
    :param at: the time of the day at which a night's run is, ``"03:00"`` by default.
    :param policies: other policies to compare, by name: the rules in which each differs from the ones above; by default none.
    :param price: of a GiB-hour of memory, in any currency; by default nothing is said of the bill.
    :param most_missed: suggest the policy that frees most with at most this number of missed searches in 30 nights that it
        decides: one of those above, or one with another ``idle_for`` from a day to thirty. One that decides fewer than seven
        nights is not suggested. By default nothing is.
    :param picture: a path or URL that ends in ``.png`` or ``.svg``, where the nights are drawn; it needs the extra ``picture``.
    :param timeout: seconds for the whole operation; 3600 by default.
    :raises MilvusInvalidArgumentError: nothing says what to release, or an argument can never work.
    :raises MilvusMetricsError: there is no Prometheus, or its past cannot be read.
    """

    timeout = Argument(kinds.check_seconds)
    since = Argument(kinds.check_span)
    at = Argument(check_time_of_day)
    policies = OptionalArgument(check_policies)
    price = OptionalArgument(kinds.number())
    most_missed = OptionalArgument(kinds.whole_number())
    picture = OptionalArgument(check_picture)

    def __init__(
        self,
        *,
        collections: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        databases: str | Sequence[str] | None = None,
        older_than: timedelta | str | None = None,
        idle_for: timedelta | str | None = None,
        loaded_for: timedelta | str | None = None,
        memory_budget: str | int | None = None,
        min_idle: timedelta | str | None = None,
        date_format: str = "%Y%m%d",
        timezone: str = "UTC",
        keep_aliased: bool = True,
        max_releases: int | None = None,
        since: timedelta | str = timedelta(days=30),
        at: str = "03:00",
        policies: Mapping[str, Mapping[str, Any]] | None = None,
        price: float | None = None,
        most_missed: int | None = None,
        picture: str | None = None,
        timeout: float | timedelta = HOUR,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        backtest = self.play_back(context)
        result = backtest.as_result()
        keep_backtest(context, self.milvus_conn_id, result)
        if self.picture is not None:
            from airflow_provider_milvus.reclaim.backtest_picture import draw

            draw(backtest, self.picture)
            result["picture"] = self.picture
        return result

    def play_back(self, context: Context) -> Backtest:
        """All that :meth:`execute` does, but for what is kept and drawn."""
        from airflow_provider_milvus.reclaim.look_back import look_back, nights_of, steps_through

        hook = self.hook()
        self.log_where(hook, f"Playing {self.since.days} days back.")
        now = now_of(context, self.log.info).astimezone(self.timezone)
        nights = nights_of(now, self.since, self.at)
        if not nights:
            raise self.wrong(f"since is {self.since}: no night lies in it.")
        changes = self._changes()
        policies = {name: self.with_use(self.policy(now, changed), True) for name, changed in changes.items()}
        longest = max((span for policy in policies.values() for span in spans_of(policy, True)), default=now - now)
        moments = steps_through(nights[-1], nights[0] - longest, now)
        databases = databases_in_scope(self.databases, hook.settings.database)
        kept = read_report(self.milvus_conn_id) if context.get("ti") is not None else None
        found = asyncio.run(look_back(hook, databases, moments, facts=kept.facts if kept else None))
        if kept and (released := kept.released_since(nights[0])):
            found.warnings.append(
                f"Reclaims have released {counted(released, 'collection')} in this time. Here these left memory by themselves: "
                "what that freed, and which searches it met, is in no figure."
            )
        budgets = {name: self.rule("memory_budget", changed) for name, changed in changes.items()}
        policies = {name: self.with_budget(policy, budgets[name], found.memory) for name, policy in policies.items()}
        if any(isinstance(budget, kinds.Share) for budget in budgets.values()):
            found.warnings.append("A budget that is a share is one of the memory that the query nodes have today.")
        backtest = self._play(found, policies, nights)
        for warning in backtest.warnings:
            self.log.warning(warning)
        self.log.info("Played back:\n%s", backtest.as_table())
        self.log_where(hook, backtest.as_sentence())
        return backtest

    def _changes(self) -> dict[str, dict[str, Any]]:
        """What each policy changes, by its name."""
        from airflow_provider_milvus.reclaim.backtest import CANDIDATES
        from airflow_provider_milvus.wording import in_words

        changes: dict[str, dict[str, Any]] = {OWN: {}, **(self.policies or {})}
        if self.most_missed is not None:
            for span in CANDIDATES:
                changes.setdefault(f"idle for {in_words(span)}", {"idle_for": span})
        return changes

    def _play(self, found: LookedBack, policies: Mapping[str, Policy], nights: Sequence[datetime]) -> Backtest:
        from airflow_provider_milvus.reclaim.backtest import Backtest
        from airflow_provider_milvus.reclaim.playback import play

        history = found.history
        played = {name: play(history, policy, nights, spans_of(policy, True)) for name, policy in policies.items()}
        unknown = sorted((*history.gaps, *history.mismatches))
        return Backtest(played, self.price, self.most_missed, unknown, found.warnings, self.timezone)
