"""The nightly reclaim: all that is due is gone, what an alias or a pattern keeps is served, and the report names the same."""

from __future__ import annotations

from collections.abc import Sequence

from dev.cluster.case import Case, Stage, tries

KEPT = ("kept", "events_in_use")
"""Outside of the pattern, and behind an alias."""


class Reclaim(Case):
    dag_id = "reclaim"

    def prepare(self, stage: Stage) -> None:
        self._due = [f"events_{number:04}" for number in range(self.size)]
        for name in (*self._due, *KEPT):
            stage.truth.make(name, rows=10, loaded=True)
        stage.truth.client.create_alias("events_in_use", "serving")
        stage.truth.wait_for("Loaded", *self._due, *KEPT)

    def _gone(self, stage: Stage) -> list[str]:
        return [name for name in self._due if stage.truth.state(name) == "NotLoad"]

    def is_under_way(self, stage: Stage) -> bool:
        # Some of them: Milvus is busy with its releases.
        some = self._due[:: max(1, self.size // 16)]
        return sum(stage.truth.state(name) == "NotLoad" for name in some) >= len(some) / 4

    def judge(self, stage: Stage) -> tuple[str, Sequence[str]]:
        gone = self._gone(stage)
        (report,) = stage.cluster.mapped_results(self.dag_id, "reclaim")
        named = report["restore"].get("default", [])
        unserved = [name for name in KEPT if stage.truth.state(name) != "Loaded" or stage.truth.count(name) != 10]
        wrong = [
            *tries(stage, self.dag_id, "reclaim", least=2),
            *([f"{len(self._due) - len(gone)} are not released"] if gone != self._due else []),
            *([f"the report names {len(named)} of {len(gone)}"] if sorted(named) != gone else []),
            *([f"{len(report['failed'])} failed"] if report["failed"] else []),
            *(f"{name} is no longer served" for name in unserved),
        ]
        earlier = sum("earlier try" in entry["reason"] for entry in report["released"])
        return (
            f"{self.size} due, {len(gone)} gone, {len(named)} in the report ({earlier} by the killed try), {len(KEPT)} kept",
            wrong,
        )
