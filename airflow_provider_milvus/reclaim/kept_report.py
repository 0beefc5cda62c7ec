"""What is kept of the reclaims of one connection: the last decision about each collection, and the totals of the last runs.

It is plain JSON, for the page in Airflow and for a look back. Several tasks may reclaim the same Milvus, each with its own
patterns and databases: of a collection the newest decision counts that had it in scope. What a run finds out of memory stays
explained by the one that released it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_milvus.metrics.counters import LONGEST
from airflow_provider_milvus.reclaim.history import HOLDS_FOR, Facts, Sighting
from airflow_provider_milvus.reclaim.inventory import UNKNOWN, CollectionState, Memory, total
from airflow_provider_milvus.reclaim.packed import pack, unpack
from airflow_provider_milvus.reclaim.policy import NO_PATTERN
from airflow_provider_milvus.reclaim.report import Entry, ReclaimReport, make_entry
from airflow_provider_milvus.reclaim.usage import Usage
from airflow_provider_milvus.schema.window_marks import RECLAIM_PROPERTY

MOST_RUNS = 60
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ReclaimOf:
    """The run that made a report: when it ended, and the task and DAG run that it was."""

    at: datetime
    dag_id: str
    task_id: str
    run_id: str

    def as_dict(self) -> dict[str, str]:
        return {"at": self.at.isoformat(), "dag_id": self.dag_id, "task_id": self.task_id, "run_id": self.run_id}


@dataclass(slots=True)
class KeptReport:
    """``runs`` are the totals of the last runs, oldest first. ``decisions`` has an entry for each collection that they saw.

    An entry names the run (``at``, ``dag_id``, ``task_id``, ``run_id``, ``dry_run``), the ``outcome`` and its ``reason``, and
    what the run knew of the collection; :func:`subject_of` reads that. What was not known is left out. ``facts`` are what no
    metric remembers of a collection, as runs saw it. ``backtest`` is the last one: its run, its
    ``nights`` and its ``summary``.
    """

    runs: list[Entry] = field(default_factory=list)
    decisions: dict[Key, Entry] = field(default_factory=dict)
    facts: dict[Key, list[Sighting]] = field(default_factory=dict)
    backtest: Entry = field(default_factory=dict)

    @staticmethod
    def read(value: Any) -> KeptReport:
        """What :meth:`as_value` returned.

        :raises ValueError: it is something else.
        """
        try:
            decisions = {(entry["database"], entry["collection"]): dict(entry) for entry in unpack(value["decisions"])}
            facts: dict[Key, list[Sighting]] = {}
            for database, collection, first, last, aliases, properties, windows in unpack(value["facts"]):
                known = Facts(tuple(aliases), dict(properties), windows)
                facts.setdefault((database, collection), []).append(Sighting(first, last, known))
            return KeptReport([dict(run) for run in value["runs"]][-MOST_RUNS:], decisions, facts, dict(value["backtest"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is no report of reclaims: {error!r}") from None

    def as_value(self) -> dict[str, Any]:
        """JSON-safe; packed text in place of many decisions."""
        facts = [
            [*key, seen.first, seen.last, list(seen.facts.aliases), dict(seen.facts.properties), seen.facts.windows]
            for key in sorted(self.facts)
            for seen in self.facts[key]
        ]
        return {
            "runs": self.runs,
            "decisions": pack([self.decisions[key] for key in sorted(self.decisions)]),
            "facts": pack(facts),
            "backtest": self.backtest,
        }

    def has(self, run: ReclaimOf) -> bool:
        return any(run.as_dict().items() <= kept.items() for kept in (*self.runs, self.backtest))

    def released_since(self, start: datetime) -> int:
        """How many collections the runs since then have released."""
        runs = (run for run in self.runs if not run["dry_run"] and datetime.fromisoformat(run["at"]) >= start)
        return sum(run["released"] for run in runs)

    def add_backtest(self, run: ReclaimOf, result: Mapping[str, Any]) -> None:
        """Keep what the page shows of a backtest, in place of the one before."""
        self.backtest = {**run.as_dict(), "nights": result["nights"][-MOST_RUNS:], "summary": result["summary"]}

    def add(
        self,
        run: ReclaimOf,
        report: ReclaimReport,
        seen: Mapping[Key, CollectionState],
        *,
        in_scope: Callable[[str], bool] | None,
        databases: Collection[str],
    ) -> None:
        """Add a run.

        :param seen: the collections as the run saw them before its first release.
        :param in_scope: whether the run decided about a collection of this name; None: about those of a plan alone.
        :param databases: those that the run looked at.
        """
        held = total(report.loaded)
        totals = report.totals()
        counted = ("released", "kept", "failed", "bytes_before", "bytes_after", "unknown_sizes", "budget")
        self.runs.append(
            {
                **run.as_dict(),
                "dry_run": report.dry_run,
                "databases": sorted(databases),
                **{name: totals[name] for name in counted},
                "bytes_source": held.source,
                "planned": len(report.planned),
            }
        )
        del self.runs[:-MOST_RUNS]
        if in_scope is not None:
            gone = [key for key in self.decisions if key[0] in databases and key not in seen]
            for key in gone:
                del self.decisions[key]
                self.facts.pop(key, None)
        of_run = {**run.as_dict(), "dry_run": report.dry_run}
        for outcome, entry in _outcomes(report):
            key = (entry["database"], entry["collection"])
            decides = in_scope is None or in_scope(key[1])
            made = _without_unknown({**_known_of(seen.get(key)), **entry, "outcome": outcome, **of_run})
            before = self.decisions.get(key)
            says_more = before is None or (before["reason"] == NO_PATTERN != made["reason"])
            if says_more or (decides and not _is_out_since(before, made)):
                self.decisions[key] = made
            # Of the others a run does not ask for the properties.
            if decides and key in seen and seen[key].in_memory:
                self._remember(seen[key], run.at.timestamp())

    def _remember(self, subject: CollectionState, at: float) -> None:
        known = Facts(subject.aliases, _deciding(subject), subject.windows)
        seen = self.facts.setdefault(subject.key, [])
        if seen and seen[-1].facts == known and at - seen[-1].last <= HOLDS_FOR:
            seen[-1] = replace(seen[-1], last=at)
        else:
            seen.append(Sighting(at, at, known))
        while seen[0].last < at - LONGEST.total_seconds():
            del seen[0]


def subject_of(decision: Entry) -> CollectionState:
    """The collection as the run saw it, and as it left it: ``state`` is that of afterwards."""
    idle, created = decision.get("idle"), decision.get("created")
    return CollectionState(
        decision["database"],
        decision["collection"],
        decision.get("state", "unknown"),
        tuple(decision.get("aliases", ())),
        collection_id=decision.get("id"),
        created=None if created is None else datetime.fromisoformat(created),
        properties=decision.get("properties", {}),
        rows=decision.get("rows"),
        replicas=decision.get("loaded_replicas"),
        memory=Memory(decision.get("bytes"), decision.get("bytes_source", UNKNOWN)),
        usage=Usage(None if idle is None else timedelta(seconds=idle), decision.get("use", "unknown: not asked")),
        windows=decision.get("windows", 0),
    )


def _known_of(subject: CollectionState | None) -> Entry:
    if subject is None:
        return {}
    idle = subject.usage.idle_for
    return {
        "id": subject.collection_id,
        "created": None if subject.created is None else subject.created.isoformat(),
        "aliases": list(subject.aliases),
        "windows": subject.windows,
        "properties": _deciding(subject),
        "rows": subject.rows,
        "loaded_replicas": subject.replicas,
        "idle": None if idle is None else int(idle.total_seconds()),
        "use": subject.usage.reason,
    }


def _deciding(subject: CollectionState) -> dict[str, str]:
    """The other properties decide nothing, and may be anything."""
    return {name: value for name, value in subject.properties.items() if name == RECLAIM_PROPERTY}


def _without_unknown(entry: Entry) -> Entry:
    return {name: value for name, value in entry.items() if value not in (None, [], {})}


def _is_out_since(before: Entry | None, now: Entry) -> bool:
    """Whether a run found a collection as the decision before had left it: released."""
    if before is None or before["outcome"] != "released" or before.get("id") != now.get("id"):
        return False
    return bool(now["outcome"] == "kept" and now["state"] == before["state"])


def _outcomes(report: ReclaimReport) -> Iterator[tuple[str, Entry]]:
    lists = {
        "planned": [make_entry(planned.subject, planned.reason) for planned in report.planned],
        "released": report.released,
        "reloaded": report.reloaded,
        "failed": report.failed,
        "kept": report.kept,
    }
    for outcome, entries in lists.items():
        for entry in entries:
            yield outcome, entry
