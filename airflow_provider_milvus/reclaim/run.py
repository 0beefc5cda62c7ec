"""One run of the reclaim: look, decide, release. No Airflow in here; the operator gives the rules and tells the outcome."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.exceptions import MilvusError
from airflow_provider_milvus.reclaim.in_use import SincePlanned, attempts_of, unknown, with_usage
from airflow_provider_milvus.reclaim.inventory import MEASURED, total
from airflow_provider_milvus.reclaim.loaded_since import seen_loaded
from airflow_provider_milvus.reclaim.plan import Planned, plan_from, planned, released_before
from airflow_provider_milvus.reclaim.releases import Done, Fate, Releases
from airflow_provider_milvus.reclaim.report import Outcome, entry
from airflow_provider_milvus.reclaim.survey import Surveyor
from airflow_provider_milvus.wording import human

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient
    from airflow_provider_milvus.client.reads import Nodes
    from airflow_provider_milvus.hooks.milvus import MilvusHook
    from airflow_provider_milvus.metrics import Attempts, MetricsSource
    from airflow_provider_milvus.reclaim.inventory import CollectionState
    from airflow_provider_milvus.reclaim.policy import Policy


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look found. ``attempts`` is there when rules ask for use and it is known; ``doubts`` are warnings."""

    databases: list[str]
    collections: list[CollectionState]
    nodes: Nodes
    attempts: Attempts | None
    doubts: list[str]


class ReclaimRun:
    """Uses ``runner``'s event loop, and between its steps none, so that Airflow can be asked in between.

    ``notes`` is what the next run needs to know.
    """

    def __init__(self, runner: asyncio.Runner, hook: MilvusHook, *, report: Callable[[str], object]) -> None:
        self._runner = runner
        self._hook = hook
        self._report = report
        self._opened = AsyncExitStack()
        self._metrics: MetricsSource | None = None
        self._now: dict[tuple[str, str], CollectionState] = {}
        self.notes: dict[str, Any] = {}

    def __enter__(self) -> ReclaimRun:
        self._metrics = self._hook.metrics()
        self._client: AsyncBoundedClient = self._runner.run(self._opened.enter_async_context(self._hook.async_client()))
        self._deadline = self._hook.deadline()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._runner.run(self._opened.aclose())

    def look(
        self, databases: Sequence[str] | None, policy: Policy, spans: Sequence[timedelta], noted: Mapping[str, Any]
    ) -> Seen:
        """Read all there is to decide on; ``databases`` ``None`` is all of them.

        :raises MilvusError: the server does not list its collections. Metrics that cannot be read are a doubt, no error.
        """
        return self._runner.run(self._look(databases, policy, spans, noted))

    async def _look(
        self, databases: Sequence[str] | None, policy: Policy, spans: Sequence[timedelta], noted: Mapping[str, Any]
    ) -> Seen:
        # The hour is for the releases: a server that does not even list its collections is reported much sooner.
        within = self._deadline.at_most(self._hook.settings.timeout)
        surveyor = Surveyor(self._client, within, estimate=policy.budget is not None, wanted=policy.in_scope)
        looked_at = list(databases) if databases is not None else await surveyor.databases()
        survey = await surveyor.look(looked_at, self._metrics)
        collections, attempts = survey.collections, None
        if spans and "counters" in noted:
            # What was known stays known over a night without metrics.
            self.notes["counters"] = noted["counters"]
        doubts = [f"The metrics are not used: {survey.doubt}."] if survey.doubt else []
        if spans and survey.doubt:
            collections = unknown(collections)
        elif spans and self._metrics is not None:
            try:
                names = await surveyor.names(await surveyor.databases())
                # Before the counters are judged: what comes after this moment is noticed when a release is due.
                attempts = await self._metrics.attempts()
                collections, self.notes["counters"] = await with_usage(
                    collections,
                    self._metrics,
                    spans,
                    proxies=survey.nodes.proxies,
                    names=names,
                    kept=noted.get("counters"),
                )
            except MilvusError as error:
                collections, attempts = unknown(collections), None
                doubts.append(f"Nothing is known of use: {error}")
        if policy.loaded_for is not None:
            collections, self.notes["loaded"] = seen_loaded(noted.get("loaded"), collections, time.time())
        return Seen(looked_at, collections, survey.nodes, attempts, doubts)

    def look_again(self, approved: Sequence[Planned]) -> Outcome:
        """What is in memory in the databases of a plan."""
        names = {each.collection for each in approved}
        databases = sorted({each.database for each in approved})
        within = self._deadline.at_most(self._hook.settings.timeout)
        surveyor = Surveyor(self._client, within, wanted=lambda name: name in names)
        survey = self._runner.run(surveyor.look(databases, self._metrics))
        self._now = {each.key: each for each in survey.collections}
        sizes = {each.key: each.subject.memory for each in approved}
        loaded = [each for each in survey.collections if each.in_memory]
        # What nobody measures now has the size that the plan was approved with.
        return Outcome(
            loaded=[
                replace(each, memory=sizes.get(each.key, each.memory)) if each.memory.bytes is None else each for each in loaded
            ]
        )

    def decide(self, policy: Policy, seen: Seen) -> tuple[Outcome, list[Planned]]:
        self._now = {each.key: each for each in seen.collections}
        outcome = Outcome(
            loaded=[each for each in seen.collections if each.in_memory], budget=policy.budget, warnings=list(seen.doubts)
        )
        plan = []
        for each in policy.decide(seen.collections):
            if each.release:
                attempts = None if seen.attempts is None else attempts_of(each.subject, seen.attempts)
                plan.append(planned(each, attempts))
            else:
                outcome.kept.append(entry(each.subject, each.reason))
        before = total(outcome.loaded)
        left = before.bytes - total(each.subject for each in plan).bytes
        about = "about " if before.source != MEASURED else ""
        if policy.budget is not None and left > policy.budget:
            outcome.warnings.append(
                f"The budget is not met: {about}{human(left)} stays, {human(policy.budget)} is allowed, "
                "and nothing else may go."
            )
        return outcome, plan

    def count_in(self, earlier: Any, outcome: Outcome) -> list[Planned]:
        """Add to ``outcome``, and return, what an earlier try of this run released, by the plan that it noted."""
        try:
            before = released_before(plan_from(earlier or []), self._now)
        except ValueError as error:
            outcome.warnings.append(f"What an earlier try noted cannot be read: {error}.")
            return []
        keys = {each.key for each in before}
        outcome.kept = [each for each in outcome.kept if (each["database"], each["collection"]) not in keys]
        outcome.loaded = [*outcome.loaded, *(each.subject for each in before)]
        outcome.released += [entry(each.subject, f"{each.reason} (released by an earlier try)", "NotLoad") for each in before]
        return before

    def carry_out(self, plan: Sequence[Planned], outcome: Outcome, within: float, keep_aliased: bool) -> None:
        """Release what is planned and put the fate of each into ``outcome``."""
        count = itertools.count(1)
        in_use = SincePlanned(self._metrics) if self._metrics is not None else None
        fates = {Fate.RELEASED: outcome.released, Fate.KEPT: outcome.kept, Fate.FAILED: outcome.failed}

        def done(ended: Done) -> None:
            fates[ended.fate].append(entry(ended.entry.subject, ended.reason, ended.state))
            so_far = next(count)
            # A run that is killed leaves these lines.
            self._report(f"{so_far} of {len(plan)}: {ended.entry} {ended.fate}, {ended.reason}")

        releases = Releases(
            self._client,
            self._deadline,
            within=within,
            keep_aliased=keep_aliased,
            done=done,
            report=self._report,
            **({"in_use": in_use} if in_use is not None else {}),
        )
        self._runner.run(releases.carry_out(plan))
        # They end in the order the server likes; the coldest comes first for whoever reads it or loads it again.
        place = {each.key: number for number, each in enumerate(plan)}
        for entries in (outcome.released, outcome.failed):
            entries.sort(key=lambda each: place.get((each["database"], each["collection"]), -1))
