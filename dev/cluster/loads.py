"""Loads and windows: what is in use stays Loaded, and what nobody needs is NotLoad, without a mark."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from dev.cluster.airflow import eventually
from dev.cluster.case import ENDED, Case, Stage, tries

CALLED, LEFT, KILLED = "invoking on_kill", "was left as it is: the task is", "The task was killed"
"""What is logged when Airflow calls a trigger's ``on_kill``, and then by the trigger."""


def _left(stage: Stage, name: str) -> list[str]:
    """Wrong after a window: it is still in memory, or has a mark."""
    state, marks = stage.truth.state(name), stage.truth.marks(name)
    return [*([f"it is {state}"] if state != "NotLoad" else []), *([f"{len(marks)} marks are left"] if marks else [])]


class HeldWindow(Case):
    """The task in the window is killed; its next try finds all of ``size`` rows, and then the window closes."""

    dag_id = "held_window"

    def prepare(self, stage: Stage) -> None:
        stage.truth.make("held_window", rows=self.size)

    def is_under_way(self, stage: Stage) -> bool:
        running = "task_id FROM task_instance WHERE state = 'running' AND task_id = 'count'"
        return bool(stage.cluster.airflow.of_last_run(self.dag_id, running))

    def after_disturbance(self, stage: Stage) -> None:
        if stage.truth.state("held_window") != "Loaded" or not stage.truth.marks("held_window"):
            raise RuntimeError("held_window was released while its task is tried again")

    def judge(self, stage: Stage) -> tuple[str, Sequence[str]]:
        (counted,) = stage.cluster.mapped_results(self.dag_id, "count")
        wrong = [
            *tries(stage, self.dag_id, "count", least=2),
            *([f"{counted} rows were served"] if counted != self.size else []),
            *_left(stage, "held_window"),
        ]
        return f"Loaded with {counted:,} rows for the second try, then NotLoad, no mark", wrong


class _DeferredLoad(Case):
    """A load of ``size`` rows that a triggerer waits for. Milvus is frozen meanwhile, so that the load has not ended."""

    def prepare(self, stage: Stage) -> None:
        stage.truth.make(self.dag_id, rows=self.size)

    def begin(self, stage: Stage) -> None:
        super().begin(stage)
        eventually(lambda: stage.cluster.count(self.dag_id, "deferred") == 1, f"{self.dag_id} is deferred", pause=0.02)
        stage.milvus.process.freeze()

    def is_under_way(self, stage: Stage) -> bool:
        return len(stage.cluster.triggerers_of(self.dag_id)) == 1

    def after_disturbance(self, stage: Stage) -> None:
        stage.milvus.process.thaw()


class TakenOver(_DeferredLoad):
    """A triggerer that was cut off finds its trigger with another one. It must not release what the task has loaded."""

    dag_id = "taken_over"

    def after_disturbance(self, stage: Stage) -> None:
        # Before that the triggerer must not see that the load has ended, or it would end the wait itself.
        eventually(lambda: CALLED in self._log(stage), "the triggerer that was cut off has called on_kill", 60)
        super().after_disturbance(stage)

    def judge(self, stage: Stage) -> tuple[str, Sequence[str]]:
        eventually(lambda: any(word in self._log(stage) for word in (LEFT, KILLED)), "on_kill has ended", 180)
        (report,) = stage.cluster.mapped_results(self.dag_id, "load")
        state = stage.truth.state(self.dag_id)
        wrong = [
            *([f"the task says {report['state']}, and Milvus {state}"] if (report["state"], state) != ("Loaded",) * 2 else []),
            *(["the trigger took its task for killed"] if KILLED in self._log(stage) else []),
            *([] if stage.truth.count(self.dag_id) == self.size else ["not all rows are served"]),
        ]
        return f"the task says {report['state']}, and Milvus {state} with {self.size:,} rows", wrong

    def _log(self, stage: Stage) -> str:
        logs = (stage.cluster.airflow.home / "logs" / f"dag_id={self.dag_id}").rglob("*.log")
        return "".join(log.read_text() for log in logs)


class AbandonedWindow(_DeferredLoad):
    """Somebody marks the run as failed while the load is deferred: it is taken back."""

    dag_id = "abandoned_window"
    # Airflow judges a run by its tasks again once it was marked.
    ends_as = ENDED

    def judge(self, stage: Stage) -> tuple[str, Sequence[str]]:
        with contextlib.suppress(TimeoutError):
            eventually(lambda: not _left(stage, self.dag_id), "it is taken back", 90)
        return "NotLoad, no mark", _left(stage, self.dag_id)
