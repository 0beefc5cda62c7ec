"""The report of a reclaim is kept in an Airflow Variable, and a reclaim that is done never fails for it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import airflow.providers.common.compat.sdk as sdk
import pytest

from airflow_provider_milvus.operators import kept_reports
from airflow_provider_milvus.operators.kept_reports import keep_report, key_of
from airflow_provider_milvus.reclaim.inventory import CollectionState
from airflow_provider_milvus.reclaim.kept_report import KeptReport
from airflow_provider_milvus.reclaim.report import ReclaimReport, make_entry


class Variables:
    """Airflow's, without its database."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.trouble: Exception | None = None
        self.meanwhile: list[str] = []
        """What others write just after each of our own."""

    def get(self, key: str, default: Any = None) -> Any:
        return self.kept.get(key, default)

    def set(self, key: str, value: Any, description: str | None = None, serialize_json: bool = False) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.kept[key] = self.meanwhile.pop() if self.meanwhile else json.dumps(value)


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Variables:
    made = Variables()
    monkeypatch.setattr(kept_reports, "LOOK_AFTER", 0)
    monkeypatch.setattr(sdk, "Variable", made, raising=False)
    return made


def keep(name: str = "docs", run_id: str | None = "monday", conn_id: str = "milvus_default") -> None:
    subject = CollectionState("default", name, "Loaded")
    report = ReclaimReport(released=[make_entry(subject, "old", "NotLoad")], loaded=[subject])
    context: Any = {"ti": SimpleNamespace(dag_id="nightly", task_id="reclaim"), "run_id": run_id}
    keep_report(context, conn_id, report, {subject.key: subject}, in_scope=lambda _: True, databases=["default"])


def read(variables: Variables, conn_id: str = "milvus_default") -> KeptReport:
    return KeptReport.read(json.loads(variables.kept[key_of(conn_id)]))


def test_is_one_variable_for_each_connection(variables):
    keep("docs")
    keep("other", conn_id="milvus_second")
    assert len(variables.kept) == 2
    assert set(read(variables).decisions) == {("default", "docs")}
    assert set(read(variables, "milvus_second").decisions) == {("default", "other")}


def test_a_run_is_added_to_those_before(variables):
    keep(run_id="monday")
    keep(run_id="tuesday")
    assert [run["run_id"] for run in read(variables).runs] == ["monday", "tuesday"]


def test_a_report_that_another_task_has_overwritten_is_added_again(variables):
    keep("other", run_id="beside")
    variables.meanwhile = [variables.kept[key_of("milvus_default")]]
    variables.kept.clear()
    keep("docs", run_id="monday")
    assert [run["run_id"] for run in read(variables).runs] == ["beside", "monday"]


def test_outside_a_dag_run_nothing_is_kept(variables):
    keep(run_id=None)
    assert variables.kept == {}


def test_a_variable_that_somebody_has_changed_is_replaced(variables, log_text):
    variables.kept[key_of("milvus_default")] = json.dumps({"runs": "all"})
    keep()
    assert "is not used" in log_text()
    assert [run["run_id"] for run in read(variables).runs] == ["monday"]


def test_the_reclaim_does_not_fail_when_airflow_takes_no_variable(variables, log_text):
    variables.trouble = RuntimeError("the API server is away")
    keep()
    assert "the API server is away" in log_text()
    assert variables.kept == {}
