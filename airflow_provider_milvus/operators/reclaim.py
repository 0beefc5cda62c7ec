"""The nightly reclaim: release what is cold, keep what is needed, and say why of each collection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError, MilvusReclaimError, MilvusUnsupportedError
from airflow_provider_milvus.kinds import (
    Share,
    check_age,
    check_databases,
    check_flag,
    check_patterns,
    check_seconds,
    check_size,
    check_span,
    check_text,
    check_timezone,
    take_any,
    whole_number,
)
from airflow_provider_milvus.operators.base import HOUR, MilvusOperator
from airflow_provider_milvus.operators.run_notes import RunNotes

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.reclaim.plan import PlannedRelease
    from airflow_provider_milvus.reclaim.policy import Policy
    from airflow_provider_milvus.reclaim.report import ReclaimReport
    from airflow_provider_milvus.reclaim.run import ServerState

RULES = ("older_than", "idle_for", "loaded_for", "memory_budget", "min_idle")
COLDEST_NEEDS = timedelta(hours=1)
"""What a budget takes has been idle for so long at least, where use is known at all."""
GRADES = (timedelta(days=1), timedelta(days=7))
"""Spans of idleness that tell the cold from the colder."""


def in_scope(databases: list[str] | None, own: str) -> list[str] | None:
    """The databases that are given, or else the connection's ``own``; None is all of them."""
    return None if databases == ["*"] else databases or [own]


class MilvusReclaimMemoryOperator(MilvusOperator):
    """Release the collections that are old, idle, long loaded, or too much for a budget, and verify each.

    All load states are read with a few calls, however many collections there are. A plan gives every collection a reason; then
    each release is looked at once more, carried out and seen on the server, and one failure stops no other.

    ``collections`` and ``exclude`` say what the run is about. Of that a collection goes when **any** of ``older_than``,
    ``idle_for``, ``loaded_for`` and ``memory_budget`` asks for it (all go when none of them is given), and when **nothing**
    keeps it: being loaded just now, an alias, ``min_idle``, the collection property ``airflow.reclaim``, ``max_releases``.
    What is not known of a collection's use never counts as idle.

    Returns ``released``, ``kept`` and ``failed`` (entries with ``database``, ``collection``, ``state``, ``reason``, ``bytes``
    and ``bytes_source``), ``restore`` (all that was released, for :class:`MilvusRestoreLoadOperator`), ``totals``,
    ``warnings``, ``summary`` and ``markdown``. A dry run releases nothing and adds ``planned``, ``plan`` and ``dry_run``. The
    result is pushed to XCom before the task fails for the sake of a failed release. A retry reports what an earlier try of the
    same run released as well.

    :param collections: patterns of names that may go, such as ``"events_*"``; case matters. (templated)
    :param exclude: patterns of names that stay, whatever else holds. (templated)
    :param databases: one, several, or ``"*"`` for all; None: ``database``, or else the connection's. (templated)
    :param older_than: release what is older than this, by the date in its name and from the start of that day to the DAG
        run's logical date (``run_after`` where a run has none). A timedelta, or an ISO 8601 duration such as ``"P7D"``.
        A collection without a date in its name stays. (templated)
    :param idle_for: release what was certainly neither searched nor queried for so long. Needs the connection's
        ``metrics_url``. (templated)
    :param loaded_for: release what every run since so long ago has seen loaded. (templated)
    :param memory_budget: release the coldest until what is loaded fits: ``"64GiB"``, or a share of the query nodes' memory
        such as ``"70%"``. Where use is known (``metrics_url``), only what has been idle for ``min_idle`` or else an hour
        goes. Sizes that are not known are left out of the sum. (templated)
    :param min_idle: keep what is not certainly idle for so long. Needs ``metrics_url``. (templated)
    :param plan: the ``plan`` of a dry run: release exactly that, except what has changed since. Excludes what stands above,
        and ``max_releases``. (templated)
    :param date_format: how the date is written, as for ``strptime``. Without a day it is the first of the month. (templated)
    :param timezone: the time zone in which a day starts. (templated)
    :param keep_aliased: keep a collection that an alias points to.
    :param dry_run: only plan. (templated)
    :param max_releases: release at most so many; the coldest go first. (templated)
    :param fail_if_nothing_matches: fail, before anything is released, when a pattern matches no collection or
        ``date_format`` no name; otherwise that is a warning.
    :param timeout: seconds for the whole run.
    :param release_timeout: seconds for one release; None: the connection's ``timeout``.
    :raises MilvusInvalidArgumentError: nothing says what may go, or an argument can never work. Nothing was changed.
    :raises MilvusReclaimError: at least one release failed; the others were carried out.
    """

    timeout = Argument(check_seconds)
    collections = OptionalArgument(check_patterns)
    exclude = OptionalArgument(check_patterns, widens=True, nothing="-", empty_list="written")
    databases = OptionalArgument(check_databases)
    older_than = OptionalArgument(check_age, widens=True, nothing="any")
    idle_for = OptionalArgument(check_span, widens=True, nothing="any")
    loaded_for = OptionalArgument(check_span, widens=True, nothing="any")
    memory_budget = OptionalArgument(check_size, widens=True, nothing="any")
    min_idle = OptionalArgument(check_span, widens=True, nothing="any")
    plan = OptionalArgument(take_any, empty_list="given")
    date_format = Argument(check_text)
    timezone = Argument(check_timezone)
    keep_aliased = Argument(check_flag)
    # It stands in the place of a method of Airflow's operators, which only `airflow tasks test --dry-run` of Airflow 2 calls.
    dry_run = Argument(check_flag)  # type: ignore[assignment]
    max_releases = OptionalArgument(whole_number(1), widens=True, nothing="any")
    fail_if_nothing_matches = Argument(check_flag)
    release_timeout = OptionalArgument(check_seconds)

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
        plan: Any = None,
        date_format: str = "%Y%m%d",
        timezone: str = "UTC",
        keep_aliased: bool = True,
        dry_run: bool | str = False,
        max_releases: int | None = None,
        fail_if_nothing_matches: bool = False,
        timeout: float | timedelta = HOUR,
        release_timeout: float | timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.collections = collections
        self.exclude = exclude
        self.databases = databases
        self.older_than = older_than
        self.idle_for = idle_for
        self.loaded_for = loaded_for
        self.memory_budget = memory_budget
        self.min_idle = min_idle
        self.plan = plan
        self.date_format = date_format
        self.timezone = timezone
        self.keep_aliased = keep_aliased
        self.dry_run = dry_run
        self.max_releases = max_releases
        self.fail_if_nothing_matches = fail_if_nothing_matches
        self.release_timeout = release_timeout
        if self.is_given("plan"):
            for rule in ("collections", "exclude", "databases", *RULES, "max_releases"):
                # Also one for staying: whoever gives it means it, and a plan does not ask for it.
                if self.is_given(rule):
                    raise self.wrong(f"plan names all that is to be released: leave out {rule}.")

    def execute(self, context: Context) -> dict[str, object]:
        from airflow_provider_milvus.reclaim.run import ReclaimRun

        hook, notes = self.hook(), RunNotes(context)
        dry_run, approved = self.dry_run, self._approved()
        policy = None if approved is not None else self._policy(context)
        if policy is not None and policy.budget is not None and policy.min_idle is None and hook.settings.metrics_url:
            policy = replace(policy, min_idle=COLDEST_NEEDS)
        noted = notes.read()
        databases = in_scope(self.databases, hook.settings.database)
        spans = self._spans(policy, hook.settings.metrics_url) if policy else []
        with asyncio.Runner() as runner, ReclaimRun(runner, hook, report=self.log.info) as run:
            if approved is not None:
                outcome = run.look_again(approved)
                plan = approved
            else:
                assert policy is not None
                seen = run.look(databases, policy, spans, noted)
                policy = self._with_budget(policy, seen)
                outcome, plan = run.decide(policy, seen)
                self._warn(policy, seen, outcome)
            outcome.dry_run = dry_run
            if dry_run:
                outcome.planned = plan
                if run.notes:
                    notes.write({**noted, **run.notes})
            else:
                before = run.count_earlier(noted.get("plan") if noted.get("run_id") == notes.run_id else None, outcome)
                gone = {each.key for each in before}
                plan = [each for each in plan if each.key not in gone]
                # Before the first release: what a killed try leaves for its retry to report.
                noted_plan = [each.as_dict() for each in (*before, *plan)]
                notes.write({**run.notes, "run_id": notes.run_id, "plan": noted_plan})
                run.carry_out(plan, outcome, self.release_timeout or hook.settings.timeout, self.keep_aliased)
        return self._report(context, outcome)

    def _report(self, context: Context, outcome: ReclaimReport) -> dict[str, object]:
        from airflow.providers.common.compat.sdk import Stats

        for warning in outcome.warnings:
            self.log.warning(warning)
        self.log.info("Reclaim:\n%s", outcome.as_table())
        self.log.info(outcome.as_sentence())
        result, totals = outcome.as_result(), outcome.totals()
        if not outcome.dry_run:
            tags = {"conn_id": self.milvus_conn_id}
            Stats.incr("milvus.reclaim.released", len(outcome.released), tags=tags)
            Stats.incr("milvus.reclaim.failed", len(outcome.failed), tags=tags)
            reclaimed = totals["bytes_reclaimed"]
            if isinstance(reclaimed, int):
                Stats.gauge("milvus.reclaim.reclaimed_bytes", reclaimed, tags=tags)
        if outcome.failed:
            _push(context, result)
            raise MilvusReclaimError(
                f"{outcome.as_sentence()} Failed: "
                + " ".join(f"{each['collection']}: {each['reason']}" for each in outcome.failed[:5])
            )
        return result

    def _warn(self, policy: Policy, seen: ServerState, outcome: ReclaimReport) -> None:
        where = f"in {', '.join(map(repr, seen.databases))}"
        nothing = [
            f"{argument}: the pattern {pattern!r} matches no collection {where}."
            for argument, pattern in policy.unmatched(seen.collections)
        ]
        in_scope = [each.collection for each in seen.collections if policy.in_scope(each.collection)]
        if policy.older_than is not None and in_scope and not any(map(policy.date_of, in_scope)):
            nothing.append(f"No name that may go {where} holds a date written as {self.date_format!r}.")
        if nothing and self.fail_if_nothing_matches:
            raise MilvusInvalidArgumentError(" ".join(nothing))
        outcome.warnings += nothing

    def _with_budget(self, policy: Policy, seen: ServerState) -> Policy:
        asked = self.memory_budget
        if not isinstance(asked, Share):
            return policy
        if seen.nodes.memory is None:
            raise MilvusUnsupportedError(
                "memory_budget is a share of the query nodes' memory, which this server does not tell. "
                "Give it as a size, such as '64GiB'. Nothing was released."
            )
        return replace(policy, budget=int(asked * seen.nodes.memory))

    def _spans(self, policy: Policy, metrics_url: str | None) -> list[timedelta]:
        """How far back use is asked for; nothing where no rule asks."""
        needed = {each for each in (policy.idle_for, policy.min_idle) if each is not None}
        if needed and not metrics_url:
            raise MilvusInvalidArgumentError(
                f"idle_for and min_idle need metrics: set metrics_url in the connection {self.milvus_conn_id!r}."
            )
        return sorted(needed | set(GRADES)) if metrics_url and (needed or policy.budget is not None) else []

    def _approved(self) -> list[PlannedRelease] | None:
        from airflow_provider_milvus.reclaim.plan import read_plan

        if self.plan is None:
            return None
        try:
            return read_plan(self.plan)
        except ValueError as error:
            raise MilvusInvalidArgumentError(
                f"plan is not what a dry run returned under 'plan': {error}. "
                "From a template it needs render_template_as_native_obj=True on the DAG."
            ) from None

    def _policy(self, context: Context) -> Policy:
        from airflow_provider_milvus.reclaim.policy import DateInName, Policy

        try:
            date_of = DateInName(self.date_format, self.timezone)
        except (ValueError, TypeError) as error:
            raise MilvusInvalidArgumentError(f"date_format {self.date_format!r}: {error}.") from None
        try:
            return Policy(
                patterns=self.collections or (),
                exclude=self.exclude or (),
                older_than=self.older_than,
                idle_for=self.idle_for,
                loaded_for=self.loaded_for,
                min_idle=self.min_idle,
                # A share becomes bytes when the server has reported its memory.
                budget=None if self.memory_budget is None else int(self.memory_budget),
                max_releases=self.max_releases,
                date_of=date_of,
                now=self._now(context),
                keep_aliased=self.keep_aliased,
            )
        except ValueError as error:
            raise MilvusInvalidArgumentError(
                f"Set collections, older_than, idle_for, loaded_for, memory_budget, or several of them: {error}."
            ) from None

    def _now(self, context: Context) -> datetime:
        import pendulum

        run = context.get("dag_run")
        moment = context.get("logical_date") or getattr(run, "run_after", None)
        if moment is None:
            moment = pendulum.now("UTC")
            self.log.info("This is no DAG run: ages are counted to now, %s.", moment)
        return pendulum.instance(moment)


def _push(context: Context, result: dict[str, object]) -> None:
    task_instance = context.get("ti")
    if task_instance is not None:
        task_instance.xcom_push(key="return_value", value=result)
