"""What several tasks have written, each its part of the rows, in one sum."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.exceptions import MilvusCheckError, MilvusInvalidArgumentError
from airflow_provider_milvus.kinds import check_whole_number

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

COUNTS = ("rows_read", "written", "already_there", "replaced", "refused", "batches", "bytes")
MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class PartResults:
    """The results of tasks that wrote, imported or prepared rows, in their order."""

    results: Sequence[Mapping[str, Any]]

    def __str__(self) -> str:
        counts = [_rows(result) for result in self.results]
        more = f" and {len(counts) - MOST_SHOWN} more" if len(counts) > MOST_SHOWN else ""
        return f"the sum of {len(counts)} parts: {', '.join(map(str, counts[:MOST_SHOWN]))}{more}"

    @property
    def rows(self) -> int:
        """How many rows the tasks have written, earlier tries included."""
        return sum(map(_rows, self.results))

    def totals(self) -> dict[str, int]:
        """The number of parts, and the sum of each count that all of them have."""
        shared = [count for count in COUNTS if all(count in result for result in self.results)]
        return {"parts": len(self.results), **{count: sum(result[count] for result in self.results) for count in shared}}

    def check_all_are_there(self, context: Context, task_ids: Collection[str]) -> None:
        """Compare with the states of the tasks: Airflow leaves out of a list what a skipped or failed task did not return.

        :raises MilvusCheckError: one of the tasks has not succeeded, or has no result.
        """
        states = _states(context, task_ids)
        if missing := [f"{task} ({state or 'not run'})" for task, state in states.items() if state != "success"]:
            raise MilvusCheckError(f"No row was counted, since parts are missing: {', '.join(missing)}. Clear these tasks.")
        if len(self.results) < max(1, len(states)):
            raise MilvusCheckError(f"No row was counted: there are {len(self.results)} results of {len(states)} tasks.")

    def check_collection(self, database: str, collection: str) -> None:
        """:raises MilvusCheckError: a part was written to another collection, such as one that an alias led to before."""
        for part, result in enumerate(self.results):
            where = (result.get("database", database), result.get("collection", collection))
            if where != (database, collection):
                raise MilvusCheckError(
                    f"Part {part} of {len(self.results)} was written to collection {where[1]!r} of database {where[0]!r}; the "
                    f"rows of {collection!r} of {database!r} are counted."
                )


def check_expected(argument: str, value: Any) -> int | PartResults:
    """A number of rows, or the results of the tasks that wrote them: one, or a list, such as the output of a mapped task."""
    is_number = isinstance(value, str) or not isinstance(value, (Mapping, Sequence))
    return check_whole_number(argument, value) if is_number else PartResults(_flat(argument, value))


def _flat(argument: str, value: Any) -> list[Mapping[str, Any]]:
    # Airflow has a sequence of its own for what mapped tasks return.
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [result for entry in value for result in _flat(argument, entry)]
    if isinstance(value, Mapping) and ({"written", "already_there"} <= value.keys() or "rows" in value):
        return [value]
    raise MilvusInvalidArgumentError(f"{argument} has {reprlib.repr(value)}, which no task returns that writes rows.")


def _rows(result: Mapping[str, Any]) -> int:
    return int(result["written"] + result["already_there"] if "written" in result else result["rows"])


def _states(context: Context, task_ids: Collection[str]) -> dict[str, str | None]:
    """Airflow's states of the tasks in this run, by their names, with the map index, without those that are removed."""
    task_instance: Any = context.get("ti")
    if not task_ids or task_instance is None:
        return {}
    run_id = task_instance.run_id
    if hasattr(task_instance, "get_task_states"):
        asked = {"dag_id": task_instance.dag_id, "task_ids": sorted(task_ids), "run_ids": [run_id]}
        states = task_instance.get_task_states(**asked).get(run_id, {})
    else:
        of_run = task_instance.get_dagrun().get_task_instances()
        states = {f"{one.task_id}_{one.map_index}": one.state for one in of_run if one.task_id in task_ids}
    return {task: state for task, state in states.items() if state != "removed"}
