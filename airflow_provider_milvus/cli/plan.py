"""``plan``: what tonight would do; a dry run of ``MilvusReclaimMemoryOperator`` that changes nothing, in Airflow neither.

The rules are the operator's own arguments, or those of the tasks in a DAG file, with the default parameters of the DAG.
"""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.cli.cli_config import ActionCommand

from airflow_provider_milvus.cli.command import (
    DATABASES,
    FINE,
    OUTPUT,
    SERVER,
    UsageError,
    argument,
    command,
    conn_id_of,
    quiet,
    show,
    tell,
)

if TYPE_CHECKING:
    from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator

T = TypeVar("T")

LISTS = {"collections": "patterns of names in scope", "exclude": "patterns of names that always stay"}
TEXTS = {
    "older_than": "release what is older, by the date in its name: P7D, PT36H",
    "idle_for": "release what was certainly neither searched nor queried for this time",
    "loaded_for": "release what every run has seen loaded for this time",
    "memory_budget": "release the coldest until the rest fits: 64GiB, 70%%",
    "min_idle": "keep what was not certainly idle for this time",
    "max_releases": "the greatest number of releases",
    "date_format": "how a name has its date, as for strptime (default: %%Y%%m%%d)",
    "timezone": "the time zone in which a day starts (default: UTC)",
}
RULES = ("databases", *LISTS, *TEXTS, "keep_aliased")


@command
def plan(given: Namespace) -> int:
    """Show what would be released and what would be kept, and why."""
    with quiet():
        reports = {name: task.look_ahead(context) for name, task, context in _tasks(given)}
    several = len(reports) != 1
    rows = [{**({"task": name} if several else {}), **row} for name, report in reports.items() for row in report.as_rows()]
    whole = [{"task": name, **report.as_entries()} for name, report in reports.items()]
    show(given, rows, whole if several else whole[0])
    for name, report in reports.items():
        tell(*report.warnings, f"{name}: {report.as_sentence()}" if several else report.as_sentence())
    return FINE


def rules_of(given: Namespace) -> dict[str, Any]:
    """Those that were given, as an operator's arguments."""
    return {name: value for name in RULES if (value := getattr(given, name)) is not None}


def _tasks(given: Namespace) -> Iterator[tuple[str, MilvusReclaimMemoryOperator, Any]]:
    """Each task with its name and the context of its run."""
    import pendulum

    from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator

    now = pendulum.now("UTC")
    rules = rules_of(given)
    if given.dag_file is None:
        if given.task_id is not None:
            raise UsageError("--task-id names a task of a DAG file: give --dag-file as well.")
        task = MilvusReclaimMemoryOperator(task_id="plan", milvus_conn_id=conn_id_of(given), **rules)
        yield task.task_id, task, {"logical_date": now}
        return
    if rules:
        raise UsageError(f"The tasks of a DAG file have rules of their own: leave out {', '.join(map(_flag, rules))}.")
    tasks = [task for task in _tasks_in(given.dag_file) if given.task_id in (None, task.task_id)]
    if not tasks:
        named = f" {given.task_id!r}" if given.task_id is not None else ""
        raise UsageError(f"{given.dag_file} has no task{named} that reclaims memory by rules of its own.")
    for one_or_mapped in tasks:
        for index, task in _runs_of(one_or_mapped):
            if given.conn_id or given.uri:
                task.milvus_conn_id = conn_id_of(given)
            name = task.task_id if index < 0 else f"{task.task_id}[{index}]"
            yield f"{task.dag_id}.{name}", task, _render(task, index, now)


def _tasks_in(path: str) -> list[Any]:
    """The tasks of a DAG file, mapped ones too, that reclaim memory and do not take their plan from another task."""
    from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator

    if not Path(path).is_file():
        raise UsageError(f"There is no file {path}.")
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        # Before Airflow 3.2.
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]
    bag = _silently(lambda: DagBag(path, collect_dags=False))
    _silently(lambda: bag.process_file(path, safe_mode=False))  # type: ignore[no-untyped-call]
    for problem in bag.import_errors.values():
        raise UsageError(f"{path} is not a DAG file that can be read: {problem.strip().splitlines()[-1]}.")
    tasks = [task for dag in bag.dags.values() for task in dag.tasks]
    return [task for task in tasks if issubclass(task.operator_class, MilvusReclaimMemoryOperator) and not _has_plan(task)]


def _has_plan(task: Any) -> bool:
    if (mapped := _mapped(task)) is None:
        return bool(task.is_given("plan"))
    return "plan" in task.partial_kwargs or (isinstance(mapped, Mapping) and "plan" in mapped)


def _mapped(task: Any) -> Any:
    """What a task is mapped over: lists by argument (``expand``), or a list of arguments (``expand_kwargs``); else None."""
    return None if (given := getattr(task, "expand_input", None)) is None else given.value


def _runs_of(task: Any) -> Iterator[tuple[int, MilvusReclaimMemoryOperator]]:
    """The task, or those that a mapped one becomes; with the index that Airflow gives them.

    :raises UsageError: only a run knows what it is mapped over.
    """
    if (mapped := _mapped(task)) is None:
        yield -1, task
        return
    lists = mapped if isinstance(mapped, Mapping) else {"": mapped}
    if not all(isinstance(values, (Mapping, Sequence)) for values in lists.values()):
        raise UsageError(f"Task {task.task_id!r} is mapped over what another task returns, which takes a run of its DAG.")
    chosen = product(*(values.items() if isinstance(values, Mapping) else values for values in lists.values()))
    for index, values in enumerate(chosen):
        yield index, task.unmap(dict(zip(lists, values, strict=True)) if isinstance(mapped, Mapping) else values[0])


def _render(task: MilvusReclaimMemoryOperator, index: int, now: Any) -> Any:
    """Render the arguments as in a run of now with the DAG's default parameters; return the context of that run."""
    from jinja2 import TemplateError

    context = {
        # The notes of the task's own runs are read: since when a collection was loaded, and what was counted.
        "ti": SimpleNamespace(dag_id=task.dag_id, task_id=task.task_id, map_index=index),
        "run_id": "plan",
        "params": {**task.dag.params.dump(), **task.params.dump()},  # type: ignore[union-attr]
        "logical_date": now,
        "ds": now.format("YYYY-MM-DD"),
        "ds_nodash": now.format("YYYYMMDD"),
        "ts": now.isoformat(),
        "dag": task.dag,
        "task": task,
    }
    try:
        _silently(lambda: task.render_template_fields(context))
    except (TemplateError, AttributeError, RuntimeError) as error:
        raise UsageError(f"The arguments of task {task.task_id!r} need a run of its DAG: {error}.") from None
    return context


def _silently(work: Callable[[], T]) -> T:
    """Do what Airflow logs, with a traceback where something is wrong."""
    from airflow.utils.cli import suppress_logs_and_warning

    done: list[T] = []
    suppress_logs_and_warning(lambda _: done.append(work()))(Namespace(verbose=False))
    return done[0]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


RULE_ARGUMENTS = (
    *(argument(_flag(name), nargs="+", help=help) for name, help in LISTS.items()),
    *(argument(_flag(name), help=help) for name, help in TEXTS.items()),
    argument("--keep-aliased", action=argparse.BooleanOptionalAction, help="keep a collection that has an alias"),
)

COMMAND = ActionCommand(
    name="plan",
    help="What a reclaim would release now, and why",
    description="Plan a reclaim by these rules, or by those of the tasks in a DAG file. Nothing is changed.",
    func=plan,
    args=(
        *SERVER,
        DATABASES,
        *RULE_ARGUMENTS,
        argument("--dag-file", help="take the rules of the tasks in this DAG file, with its default parameters"),
        argument("--task-id", help="with --dag-file: of this task only"),
        OUTPUT,
    ),
)
