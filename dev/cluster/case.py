"""A case: a DAG that runs while something happens to the cluster, and what has to be true afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from dev.cluster.airflow import ClusterAirflow, eventually
from dev.cluster.truth import Truth
from dev.servers.standalone import StandaloneServer

ENDED = ("success", "failed")


@dataclass(frozen=True, slots=True)
class Stage:
    cluster: ClusterAirflow
    truth: Truth
    milvus: StandaloneServer


class Case:
    """``dag_id`` names the DAG in ``dags/``, and the case."""

    dag_id: ClassVar[str]
    ends_as: ClassVar[tuple[str, ...]] = ("success",)

    def __init__(self, size: int) -> None:
        self.size = size

    def prepare(self, stage: Stage) -> None:
        """What is there before the run begins."""

    def begin(self, stage: Stage) -> None:
        stage.cluster.airflow.trigger(self.dag_id)

    def is_under_way(self, stage: Stage) -> bool:
        """Whether it is where a disturbance can do harm."""
        raise NotImplementedError

    def after_disturbance(self, stage: Stage) -> None:
        """What lets the run end."""

    def judge(self, stage: Stage) -> tuple[str, Sequence[str]]:
        """What was seen, in words, and what of it is wrong."""
        raise NotImplementedError

    def has_ended(self, stage: Stage) -> bool:
        return stage.cluster.airflow.state_of(self.dag_id) in ENDED

    def wait_until_under_way(self, stage: Stage) -> None:
        """:raises RuntimeError: the run has ended before anything could happen to it."""

        def holds() -> bool:
            if self.has_ended(stage):
                raise RuntimeError(f"{self.dag_id} has ended before anything happened to it")
            return self.is_under_way(stage)

        eventually(holds, f"{self.dag_id} is under way", pause=0.5)

    def judged(self, stage: Stage) -> tuple[str, list[str]]:
        """:meth:`judge` once the run has ended as it should."""
        eventually(lambda: self.has_ended(stage), f"{self.dag_id} has ended")
        if (state := stage.cluster.airflow.state_of(self.dag_id)) not in self.ends_as:
            return "not judged", [f"the run ended as {state}"]
        seen, wrong = self.judge(stage)
        return seen, list(wrong)


def tries(stage: Stage, dag_id: str, task_id: str, least: int) -> list[str]:
    """Wrong: no try was lost, so that nothing was tested."""
    highest = max(stage.cluster.tries(dag_id, task_id))
    return [] if highest >= least else [f"{task_id} was not hit: {highest} try"]
