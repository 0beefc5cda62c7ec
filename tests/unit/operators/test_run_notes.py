"""Notes for the retries of one run: in Airflow's task state where there is one, and else in a Variable of that run."""

from __future__ import annotations

import json
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import airflow.providers.common.compat.sdk as sdk
import pytest

from airflow_provider_milvus.exceptions import MilvusError, MilvusInDoubtError, MilvusServerError
from airflow_provider_milvus.operators.run_notes import RetryNotes


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Airflow's Variables, without its database."""
    kept: dict[str, str] = {}

    class Variable:
        @staticmethod
        def get(key: str, default: Any = None) -> Any:
            return kept.get(key, default)

        @staticmethod
        def set(key: str, value: Any, description: str | None = None, serialize_json: bool = False) -> None:
            kept[key] = json.dumps(value)

        @staticmethod
        def delete(key: str) -> None:
            kept.pop(key, None)

    monkeypatch.setattr(sdk, "Variable", Variable, raising=False)
    return kept


def notes(run_id: str | None = "monday", task_id: str = "import", map_index: int = -1, **context: Any) -> RetryNotes:
    task_instance = SimpleNamespace(dag_id="nightly", task_id=task_id, map_index=map_index)
    return RetryNotes({"ti": task_instance, "run_id": run_id, **context})


def test_a_retry_reads_what_was_noted(variables):
    notes().write({"job": 7})
    assert notes().read() == {"job": 7}


@pytest.mark.parametrize("other", [{"run_id": "tuesday"}, {"task_id": "other"}, {"map_index": 0}])
def test_nobody_else_does(variables, other):
    notes().write({"job": 7})
    assert notes(**other).read() == {}
    notes(**other).write({"job": 8})
    assert notes().read() == {"job": 7}


def test_a_task_that_has_succeeded_leaves_nothing(variables):
    notes().write({"job": 7})
    notes("tuesday").write({"job": 8})
    notes().forget()
    assert [notes().read(), notes("tuesday").read()] == [{}, {"job": 8}]
    assert len(variables) == 1


def test_a_long_run_id_makes_a_key_that_airflow_takes_and_that_stays_its_own(variables):
    long = "x" * 240
    notes(f"{long}1").write({"job": 1})
    notes(f"{long}2").write({"job": 2})
    assert [notes(f"{long}{each}").read()["job"] for each in (1, 2)] == [1, 2]
    assert max(map(len, variables)) <= 250


def test_what_is_not_ours_is_not_used(variables):
    notes().write({"job": 7})
    (key,) = variables
    variables[key] = "not JSON"
    assert notes().read() == {}


def test_outside_a_dag_run_nothing_is_kept(variables):
    notes(run_id=None).write({"job": 7})
    assert notes(run_id=None).read() == {}
    notes(run_id=None).forget()
    assert variables == {}


def test_airflows_task_state_is_used_where_there_is_one(variables):
    state: dict[str, Any] = {}
    store = SimpleNamespace(get=state.get, set=state.__setitem__, delete=state.pop)
    notes(task_state_store=store).write({"job": 7})
    assert (list(state.values()), variables) == ([{"job": 7}], {})
    assert notes(task_state_store=store).read() == {"job": 7}
    notes(task_state_store=store).forget()
    assert state == {}


def noting(value: Any = None, error: Exception | None = None, **change: Any) -> Any:
    """What a try of ``change`` finds; then it notes ``value``, and ends with ``error``."""
    with suppress(MilvusError), notes().of(**change) as tries:
        if value is not None:
            tries.note(value)
        if error is not None:
            raise error
    return tries.earlier


def test_a_retry_finds_the_note_of_its_own_change_only(variables):
    assert noting([7], MilvusServerError("no"), dropping="docs") is None
    assert noting(None, MilvusServerError("no"), dropping="other") is None
    assert noting(None, MilvusServerError("no"), dropping="docs") == [7]


@pytest.mark.parametrize("error", [None, MilvusInDoubtError("who knows")])
def test_notes_end_with_the_work_and_with_a_doubt_that_no_retry_solves(variables, error):
    noting([7], MilvusServerError("no"), dropping="docs")
    assert noting([8], error, dropping="docs") == [7]
    assert variables == {}


def test_a_second_change_notes_beside_the_first(variables):
    with suppress(MilvusServerError), notes().of(swapping="live") as tries:
        tries.note({"old": "docs"})
        notes().tries(swapping="live").part("retired").leave({"id": 7})
        raise MilvusServerError("no")
    again = notes().tries(swapping="live")
    assert again.earlier == {"old": "docs", "retired": {"id": 7}}
    assert again.part("retired").earlier == {"id": 7}
