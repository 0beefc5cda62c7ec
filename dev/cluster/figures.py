"""What the cluster costs: the memory of each kind of process, and the CPU and memory of a task."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterator

import psutil
from tabulate import tabulate

from dev.cluster.airflow import eventually
from dev.cluster.case import ENDED, Stage

WORKERS = ("worker-1", "worker-2")
PARTS = ("api-server", "scheduler", "dag-processor", "triggerer-1", "worker-1")
MIB = 1 << 20


def figures(stage: Stage) -> str:
    """A table of the parts, with workers and triggerers at rest, and one of tasks."""
    parts = [(name.removesuffix("-1"), len(stage.cluster.tree(name)), round(_memory(stage, name))) for name in PARTS]
    # The first tasks of a worker's process import what later ones find.
    _, *tasks = [_of_tasks(stage, dag_id) for dag_id in ("costs_nothing", "costs_nothing", "costs_release")]
    return "\n\n".join(
        tabulate(rows, headers, tablefmt="github", floatfmt=".2f")
        for rows, headers in (
            (parts, ("part, at rest", "processes", "memory (PSS), MiB")),
            (tasks, ("task", "CPU, s", "memory (PSS) at its peak, MiB")),
        )
    )


def _of_tasks(stage: Stage, dag_id: str) -> tuple[str, float, int]:
    """CPU of a task, with the supervisor's; median memory of its process alone."""
    cluster, peaks = stage.cluster, dict[int, float]()
    before = _cpu(stage)
    cluster.airflow.trigger(dag_id)

    def has_ended() -> bool:
        for process in _task_processes(stage):
            with contextlib.suppress(psutil.Error):
                peaks[process.pid] = max(peaks.get(process.pid, 0), process.memory_full_info().pss / MIB)
        return cluster.airflow.state_of(dag_id) in ENDED

    eventually(has_ended, f"{dag_id} has ended", pause=0.05)
    # The last supervisors end.
    time.sleep(3)
    count = cluster.count(dag_id, "success")
    return dag_id.removeprefix("costs_"), (_cpu(stage) - before) / count, round(statistics.median(peaks.values()))


def _task_processes(stage: Stage) -> Iterator[psutil.Process]:
    """Airflow gives each task's process a group of its own."""
    for name in WORKERS:
        for process in stage.cluster.tree(name)[1:]:
            with contextlib.suppress(OSError):
                if os.getpgid(process.pid) == process.pid:
                    yield process


def _memory(stage: Stage, name: str) -> float:
    return float(sum(process.memory_full_info().pss for process in stage.cluster.tree(name)) / MIB)


def _cpu(stage: Stage) -> float:
    """Seconds of both workers, with all that they have run."""
    spent = (
        times.user + times.system + times.children_user + times.children_system
        for name in WORKERS
        for times in (process.cpu_times() for process in stage.cluster.tree(name))
    )
    return float(sum(spent))
