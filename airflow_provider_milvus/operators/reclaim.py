"""The nightly reclaim: release cold collections, keep those that are needed, with a reason for every collection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError, MilvusReclaimError
from airflow_provider_milvus.operators.base import HOUR, failed_in_part
from airflow_provider_milvus.operators.dates import now_of
from airflow_provider_milvus.operators.kept_reports import keep_report
from airflow_provider_milvus.operators.reclaim_rules import ReclaimRules, databases_in_scope, spans_of
from airflow_provider_milvus.operators.run_notes import RetryNotes, RunNotes

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.hooks.milvus import MilvusHook
    from airflow_provider_milvus.reclaim.plan import PlannedRelease
    from airflow_provider_milvus.reclaim.policy import Policy
    from airflow_provider_milvus.reclaim.report import ReclaimReport
    from airflow_provider_milvus.reclaim.run import ReclaimRun, ServerState

log = logging.getLogger(__name__)

RULE_ARGUMENTS = ("older_than", "idle_for", "loaded_for", "memory_budget", "min_idle", "max_releases")


class MilvusReclaimMemoryOperator(ReclaimRules):
    """Release collections that are old, idle, long loaded, or too much for a budget; done when the server says NotLoad of each.

    All arguments are templates.

    .. code-block:: python

        from datetime import timedelta

        from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator

        reclaim = MilvusReclaimMemoryOperator(
            task_id="reclaim",
            collections=["events_*"],
            exclude=["events_archive_*"],
            older_than=timedelta(days=7),
            dry_run=True,
        )

    A run reads all load states with a few calls, however many collections there are, and makes a plan with a reason for every
    collection. Then it looks at each planned release once more, carries it out, and watches until the server says NotLoad. A
    failed release does not stop the others. Afterwards what was released is out of memory, with its rows and indexes on
    storage; everything else is as it was.

    ``collections`` and ``exclude`` are the scope. A collection in scope is released when **any** of ``older_than``,
    ``idle_for``, ``loaded_for`` and ``memory_budget`` asks for it (without these, all in scope), and when **nothing** keeps it:
    a load under way, an alias, ``min_idle``, the collection property ``airflow.reclaim``, an open window, ``max_releases``.
    Use that is not known never counts as idle.

    Returns ``released``, ``kept`` and ``failed`` (entries with ``database``, ``collection``, ``state``, ``reason``, ``bytes``
    and ``bytes_source``), ``restore`` (the names of all that was released, for :class:`MilvusRestoreLoadOperator`), ``totals``,
    ``warnings``, ``summary`` and ``markdown``; ``reloaded`` where something that keeps a collection, such as an alias, came
    while it was released, so that it was loaded again. A dry run releases nothing and adds ``planned``, ``plan`` and
    ``dry_run``. When a release has failed, the result is pushed to XCom before the task fails. A retry also reports what an
    earlier try of the same run has released.

    :param plan: the ``plan`` of a dry run, or the path of its ``plan_path``: release exactly this, except what has changed
        since. It takes the place of all rules.
    :param plan_path: where a dry run writes its plan, as a path or a URL such as ``"s3://my_conn@bucket/plan.json"``; ``plan``
        of the result is that path then. By default the plan is in the result, as packed text where it is long: a plan of five
        thousand collections may take more than the 100 kB of a good XCom.
    :param dry_run: only plan; False by default. This argument takes the place of a method of Airflow's operators that only
        ``airflow tasks test --dry-run`` of Airflow 2 calls.
    :param fail_if_nothing_matches: fail, before anything is released, when a pattern matches no collection, or ``date_format``
        matches no name in scope; False by default: this is a warning.
    :param timeout: seconds for the whole run; 3600 by default.
    :param release_timeout: seconds for one release; by default the connection's ``timeout`` (60).
    :raises MilvusInvalidArgumentError: nothing says what to release, or an argument can never work. Nothing was released.
    :raises MilvusUnsupportedError: ``memory_budget`` is a share, and the server does not report its memory. Nothing was
        released.
    :raises MilvusReclaimError: at least one release failed. The others were carried out. If no retry can mend any of the
        failures, it is the first one's own kind, such as MilvusAuthenticationError.
    """

    timeout = Argument(kinds.check_seconds)
    plan = OptionalArgument(kinds.take_any, empty_list="given")
    plan_path = OptionalArgument(kinds.check_text)
    dry_run = Argument(kinds.check_flag)  # type: ignore[assignment]
    fail_if_nothing_matches = Argument(kinds.check_flag)
    release_timeout = OptionalArgument(kinds.check_seconds)

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
        plan_path: str | None = None,
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
        self.take(locals())
        replaced = filter(self.is_given, ("collections", "exclude", "databases", *RULE_ARGUMENTS))
        if self.is_given("plan") and (superfluous := ", ".join(replaced)):
            raise self.wrong(f"plan names everything to release: leave out {superfluous}.")

    def execute(self, context: Context) -> dict[str, object]:
        from airflow_provider_milvus.reclaim.plan_file import write_plan_file
        from airflow_provider_milvus.reclaim.run import ReclaimRun

        hook, notes = self.hook(), RunNotes(context)
        approved = self._approved_plan()
        rules = self._rules(context, hook) if approved is None else None
        self.log.info("Reclaiming memory at %s.", hook.settings.uri)
        last_notes = notes.read()
        with (
            RetryNotes(context).of() as tries,
            asyncio.Runner() as runner,
            ReclaimRun(runner, hook, report=self.log.info) as run,
        ):
            if approved is not None:
                report, plan = run.look_again(approved), approved
            else:
                assert rules is not None
                report, plan = self._decide(run, hook, rules, last_notes, self.log.info)
            report.dry_run, report.server = self.dry_run, hook.settings.server
            if report.dry_run:
                report.planned = plan
                if self.plan_path is not None:
                    write_plan_file(self.plan_path, [entry.as_dict() for entry in plan])
                    report.plan_path = self.plan_path
            else:
                earlier = run.count_earlier(tries.earlier, report)
                released_before = {entry.key for entry in earlier}
                plan = run.with_replicas([entry for entry in plan if entry.key not in released_before], report)
                # Before the first release: a try that is killed leaves them for its retry to report.
                tries.note([entry.as_dict() for entry in (*run.sent, *plan)])
                run.carry_out(plan, report, self.release_timeout or hook.settings.timeout, self.keep_aliased)
                if report.failed:
                    tries.leave([entry.as_dict() for entry in run.sent])
            if run.notes:
                notes.update({**last_notes, **run.notes})
            try:
                return self._publish(context, hook, report)
            finally:
                # Last of all: Airflow's API server may be away for a while.
                in_scope = rules[0].in_scope if rules is not None else None
                keep_report(context, self.milvus_conn_id, report, run.seen, in_scope=in_scope, databases=run.databases)

    def look_ahead(self, context: Context) -> ReclaimReport:
        """What a run in this context would release now. Nothing is changed, neither on the server nor in Airflow.

        :raises MilvusInvalidArgumentError: the task has a ``plan``, so that there is nothing to decide.
        """
        from airflow_provider_milvus.reclaim.run import ReclaimRun

        if self.is_given("plan"):
            raise self.wrong("it releases a plan that was made before, and makes none.")
        hook = self.hook()
        rules = self._rules(context, hook)
        with asyncio.Runner() as runner, ReclaimRun(runner, hook, report=log.info) as run:
            report, plan = self._decide(run, hook, rules, RunNotes(context).read(), log.info)
        report.server, report.dry_run, report.planned = hook.settings.server, True, plan
        return report

    def _rules(self, context: Context, hook: MilvusHook) -> tuple[Policy, list[timedelta]]:
        """The policy, and the spans over which use is asked for."""
        policy = self.policy(now_of(context, self.log.info))
        has_metrics = hook.settings.metrics_url is not None
        policy = self.with_use(policy, has_metrics)
        return policy, spans_of(policy, has_metrics)

    def _decide(
        self,
        run: ReclaimRun,
        hook: MilvusHook,
        rules: tuple[Policy, list[timedelta]],
        last_notes: dict[str, Any],
        tell: Callable[..., object],
    ) -> tuple[ReclaimReport, list[PlannedRelease]]:
        policy, spans = rules
        server = run.look(databases_in_scope(self.databases, hook.settings.database), policy, spans, last_notes)
        if server.databases != [hook.settings.database]:
            tell("Databases: %s.", ", ".join(server.databases))
        policy = self.with_budget(policy, self.memory_budget, server.nodes.memory)
        report, plan = run.decide(policy, server)
        self._warn_of_unmatched(policy, server, report)
        return report, plan

    def _publish(self, context: Context, hook: MilvusHook, report: ReclaimReport) -> dict[str, object]:
        from airflow.providers.common.compat.sdk import Stats

        for warning in report.warnings:
            self.log.warning(warning)
        self.log.info("Reclaim:\n%s", report.as_table())
        self.log_where(hook, report.as_sentence())
        result, totals = report.as_result(), report.totals()
        if not report.dry_run:
            tags = {"conn_id": self.milvus_conn_id}
            Stats.incr("milvus.reclaim.released", len(report.released), tags=tags)
            Stats.incr("milvus.reclaim.failed", len(report.failed), tags=tags)
            reclaimed = totals["bytes_reclaimed"]
            if isinstance(reclaimed, int):
                Stats.gauge("milvus.reclaim.reclaimed_bytes", reclaimed, tags=tags)
        if report.failed:
            self.push_result(context, result)
            raise failed_in_part(MilvusReclaimError, report, "Failed", hook)
        return result

    def _warn_of_unmatched(self, policy: Policy, server: ServerState, report: ReclaimReport) -> None:
        where = f"in {', '.join(map(repr, server.databases))}"
        # From Milvus 2.4 on a listing leaves out what the user has no privilege on.
        visible = len(server.collections)
        unmatched = [
            f"{argument}: the pattern {pattern!r} matches no collection {where}, where this user sees {visible}."
            for argument, pattern in policy.unmatched(server.collections)
        ]
        names = [state.collection for state in server.collections if policy.in_scope(state.collection)]
        if policy.older_than is not None and names and not any(map(policy.date_of, names)):
            unmatched.append(f"date_format: no name in scope {where} has a date written as {self.date_format!r}.")
        if unmatched and self.fail_if_nothing_matches:
            raise MilvusInvalidArgumentError(f"Nothing was released. {' '.join(unmatched)}")
        report.warnings += unmatched

    def _approved_plan(self) -> list[PlannedRelease] | None:
        from airflow_provider_milvus.reclaim.packed import is_packed
        from airflow_provider_milvus.reclaim.plan import read_plan
        from airflow_provider_milvus.reclaim.plan_file import read_plan_file

        if self.plan is None:
            return None
        try:
            is_path = isinstance(self.plan, str) and not is_packed(self.plan) and not self.plan.lstrip().startswith(("[", "{"))
            return read_plan(read_plan_file(self.plan) if is_path else self.plan)
        except (ValueError, FileNotFoundError) as error:
            raise self.wrong(
                f"plan is not what a dry run returned under 'plan': {error}. "
                "From a template it needs render_template_as_native_obj=True on the DAG."
            ) from None
