"""One reclaim run: look, decide, release. The operator gives the rules and publishes the report."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.client.collector import seldom_collected
from airflow_provider_milvus.exceptions import MilvusError, MilvusInDoubtError
from airflow_provider_milvus.metrics import Proxies, within
from airflow_provider_milvus.reclaim.in_use import UseSincePlanned, count_attempts, with_unknown_usage, with_usage
from airflow_provider_milvus.reclaim.inventory import MEASURED, total
from airflow_provider_milvus.reclaim.loaded_since import with_loaded_for
from airflow_provider_milvus.reclaim.plan import PlannedRelease, read_plan, released_before
from airflow_provider_milvus.reclaim.releases import EndedRelease, Outcome, Releases
from airflow_provider_milvus.reclaim.report import ReclaimReport, make_entry
from airflow_provider_milvus.reclaim.survey import Surveyor
from airflow_provider_milvus.wording import human

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient
    from airflow_provider_milvus.client.reads import Nodes
    from airflow_provider_milvus.hooks.milvus import MilvusHook
    from airflow_provider_milvus.metrics import Attempts, MetricsSource
    from airflow_provider_milvus.reclaim.inventory import CollectionState
    from airflow_provider_milvus.reclaim.policy import Policy


_IN_DOUBT = (
    "in doubt, not released: an earlier try of this run may have released it, and this server does not tell whether somebody "
    "has loaded it since. Look at it; another run releases it"
)


@dataclass(frozen=True, slots=True)
class ServerState:
    """A server as a run sees it. ``attempts`` are its counters: ``None`` if they are unknown, or if no rule needs them."""

    databases: list[str]
    collections: list[CollectionState]
    nodes: Nodes
    attempts: Attempts | None
    warnings: list[str]


class ReclaimRun:
    """Uses ``runner``'s event loop inside its methods only, so that the operator can ask Airflow in between.

    ``notes`` is what the next run needs to know.
    """

    def __init__(self, runner: asyncio.Runner, hook: MilvusHook, *, report: Callable[[str], object]) -> None:
        self._runner = runner
        self._hook = hook
        self._report = report
        self._opened = AsyncExitStack()
        self._metrics: MetricsSource | None = None
        self._now: dict[tuple[str, str], CollectionState] = {}
        self._databases: list[str] = []
        self._earlier: dict[tuple[str, str], PlannedRelease] = {}
        self.notes: dict[str, Any] = {}

    def __enter__(self) -> ReclaimRun:
        self._metrics = self._hook.metrics()
        self._client: AsyncBoundedClient = self._runner.run(self._open())
        self._deadline = self._hook.deadline()
        # Last of all: what is entered is not left when something here fails.
        self._opened.enter_context(seldom_collected())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._runner.run(self._opened.aclose())

    async def _open(self) -> AsyncBoundedClient:
        return await self._opened.enter_async_context(await self._hook.shared_client())

    def look(
        self, databases: Sequence[str] | None, policy: Policy, spans: Sequence[timedelta], last_notes: Mapping[str, Any]
    ) -> ServerState:
        """Read everything that ``policy`` needs. ``databases`` ``None`` means all; ``last_notes`` are those of the last run.

        :raises MilvusError: the server does not list its collections. Metrics that cannot be read are only a warning.
        """
        return self._runner.run(self._look(databases, policy, spans, last_notes))

    async def _look(
        self, databases: Sequence[str] | None, policy: Policy, spans: Sequence[timedelta], last_notes: Mapping[str, Any]
    ) -> ServerState:
        # The connection's timeout: the run's own is for the releases, and a server that does not answer is reported sooner.
        deadline = self._deadline.at_most(self._hook.settings.timeout)
        surveyor = Surveyor(self._client, deadline, estimate=policy.budget is not None, needs_details=policy.in_scope)
        surveyed = list(databases) if databases is not None else await surveyor.databases()
        survey = await surveyor.look(surveyed, self._metrics)
        collections, attempts = survey.collections, None
        if spans and "counters" in last_notes:
            # Counters stay known over a night without metrics.
            self.notes["counters"] = last_notes["counters"]
        warnings = list(survey.warnings)
        if spans and survey.metrics_problem:
            collections = with_unknown_usage(collections)
        elif spans and self._metrics is not None:
            try:
                names = await surveyor.names(await surveyor.databases())
                # Read before the usage, so that every search from now on is noticed when a release is due.
                attempts = await within(deadline.remaining, self._metrics.attempts())
                counted = with_usage(
                    collections,
                    self._metrics,
                    spans,
                    proxies=Proxies(self._hook.settings.proxies, survey.nodes.standalone),
                    names=names,
                    kept=last_notes.get("counters"),
                )
                collections, self.notes["counters"] = await within(deadline.remaining, counted)
            except MilvusError as error:
                collections, attempts = with_unknown_usage(collections), None
                warnings.append(f"The use of collections is not known: {error}")
        if policy.loaded_for is not None:
            collections, self.notes["loaded"] = with_loaded_for(last_notes.get("loaded"), collections, time.time())
        return ServerState(surveyed, collections, survey.nodes, attempts, warnings)

    def look_again(self, approved: Sequence[PlannedRelease]) -> ReclaimReport:
        """A report with the collections that are in memory now in the databases of an approved plan."""
        names = {entry.collection for entry in approved}
        self._databases = databases = sorted({entry.database for entry in approved})
        deadline = self._deadline.at_most(self._hook.settings.timeout)
        surveyor = Surveyor(self._client, deadline, needs_details=lambda name: name in names)
        survey = self._runner.run(surveyor.look(databases, self._metrics))
        self._now = {collection.key: collection for collection in survey.collections}
        planned_sizes = {entry.key: entry.subject.memory for entry in approved}

        def with_size(state: CollectionState) -> CollectionState:
            """A collection that is not measured now has the size that it had in the plan."""
            return replace(state, memory=planned_sizes.get(state.key, state.memory)) if state.memory.bytes is None else state

        loaded = [with_size(collection) for collection in survey.collections if collection.in_memory]
        return ReclaimReport(loaded=loaded, warnings=survey.warnings)

    def decide(self, policy: Policy, server: ServerState) -> tuple[ReclaimReport, list[PlannedRelease]]:
        """A report with the collections to keep, and the releases to carry out, in order."""
        self._now, self._databases = {collection.key: collection for collection in server.collections}, server.databases
        loaded = [collection for collection in server.collections if collection.in_memory]
        report = ReclaimReport(loaded=loaded, budget=policy.budget, warnings=list(server.warnings))
        plan = []
        for decision in policy.decide(server.collections):
            if decision.release:
                attempts = None if server.attempts is None else count_attempts(decision.subject, server.attempts)
                plan.append(PlannedRelease.of(decision, attempts))
            else:
                report.kept.append(make_entry(decision.subject, decision.reason))
        before = total(loaded)
        left = before.bytes - total(entry.subject for entry in plan).bytes
        about = "about " if before.source != MEASURED else ""
        if policy.budget is not None and left > policy.budget:
            report.warnings.append(
                f"The budget is not met: {about}{human(left)} stays, {human(policy.budget)} is allowed, "
                "and nothing else may be released."
            )
        return report, plan

    def count_earlier(self, earlier_plan: Any, report: ReclaimReport) -> list[PlannedRelease]:
        """Add to ``report``, and return, what an earlier try of this run released, by the plan in its notes."""
        try:
            earlier = read_plan(earlier_plan or [])
        except ValueError as error:
            report.warnings.append(f"The plan of an earlier try cannot be read, so its releases are not reported: {error}.")
            return []
        self._earlier = {entry.key: entry for entry in earlier}
        released = released_before(earlier, self._now)
        keys = {entry.key for entry in released}
        report.kept = [entry for entry in report.kept if (entry["database"], entry["collection"]) not in keys]
        report.loaded = [*report.loaded, *(entry.subject for entry in released)]
        report.released += [
            make_entry(entry.subject, f"{entry.reason} (released by an earlier try)", "NotLoad", entry.replicas)
            for entry in released
        ]
        return released

    def with_replicas(self, plan: Sequence[PlannedRelease], report: ReclaimReport) -> list[PlannedRelease]:
        """The plan with each collection's replicas: a reload can bring them back, and what somebody loads since has others.

        What an earlier try may have released is told from that by the replicas which that try has seen. Where no server tells
        them, it is put into ``report`` as failed, since it is in doubt.
        """
        surveyor = Surveyor(self._client, self._deadline)

        async def look() -> list[PlannedRelease]:
            return await asyncio.gather(*map(surveyor.replicas, plan))

        known = []
        for entry in self._runner.run(look()):
            load = self._earlier[entry.key].load if entry.key in self._earlier else entry.load
            if entry.key in self._earlier and not (load and entry.load):
                report.failed.append(make_entry(entry.subject, _IN_DOUBT))
                report.errors.append(MilvusInDoubtError(_IN_DOUBT))
            else:
                known.append(replace(entry, load=load))
        return known

    @property
    def seen(self) -> Mapping[tuple[str, str], CollectionState]:
        """The collections as this run saw them before its first release."""
        return self._now

    @property
    def databases(self) -> list[str]:
        """Those that this run looked at."""
        return self._databases

    @property
    def sent(self) -> list[PlannedRelease]:
        """The releases that this try and earlier ones of this run have sent, or may have."""
        return list(self._earlier.values())

    def carry_out(
        self, plan: Sequence[PlannedRelease], report: ReclaimReport, release_timeout: float, keep_aliased: bool
    ) -> None:
        """Carry out the planned releases and put each outcome into ``report``."""
        count = itertools.count(1)
        lists = {
            Outcome.RELEASED: report.released,
            Outcome.RELOADED: report.reloaded,
            Outcome.KEPT: report.kept,
            Outcome.FAILED: report.failed,
        }

        def on_end(ended: EndedRelease) -> None:
            if ended.sent:
                self._earlier[ended.entry.key] = ended.entry
            if ended.error is not None:
                report.errors.append(ended.error)
            lists[ended.outcome].append(make_entry(ended.entry.subject, ended.reason, ended.state, ended.entry.replicas))
            # One line each: they are what is left of a run that is killed.
            self._report(f"{next(count)} of {len(plan)}: {ended.entry} {ended.outcome}, {ended.reason}")

        releases = Releases(
            self._client,
            self._deadline,
            release_timeout=release_timeout,
            keep_aliased=keep_aliased,
            on_end=on_end,
            report=self._report,
            in_use=UseSincePlanned(self._metrics, self._deadline) if self._metrics is not None else None,
        )
        self._runner.run(releases.carry_out(plan))
        # Releases end in any order; in the report, and for a reload, the coldest comes first.
        place = {entry.key: position for position, entry in enumerate(plan)}
        for entries in (report.released, report.failed):
            entries.sort(key=lambda entry: place.get((entry["database"], entry["collection"]), -1))
