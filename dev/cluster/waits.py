"""Deferred waits: each ends, and ends once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dev.cluster.case import Case, Stage


class Waits(Case):
    dag_id = "waits"

    def prepare(self, stage: Stage) -> None:
        stage.truth.make("awaited")

    def begin(self, stage: Stage) -> None:
        stage.cluster.airflow.trigger(self.dag_id, {"waits": self.size})

    def is_under_way(self, stage: Stage) -> bool:
        return stage.cluster.count(self.dag_id, "deferred") == self.size and len(stage.cluster.triggerers_of(self.dag_id)) > 0

    def after_disturbance(self, stage: Stage) -> None:
        stage.truth.client.load_collection("awaited", _async=True)

    def judge(self, stage: Stage) -> tuple[str, Sequence[str]]:
        ended = Counter((stage.cluster.shared / "waits").read_text().split())
        again = set(stage.cluster.tries(self.dag_id, "wait")) - {1}
        wrong = [
            *([f"{self.size - len(ended)} never ended"] if len(ended) != self.size else []),
            *(f"wait {number} ended {times} times" for number, times in ended.items() if times != 1),
            *(["a wait was tried again"] if again else []),
        ]
        return f"{self.size} waits, {len(ended)} ended, each once", wrong
