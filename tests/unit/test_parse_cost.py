"""Airflow imports a provider's modules for each DAG file at each parse: they must bring nothing heavy along."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import airflow_provider_milvus

HEAVY = ("pymilvus", "pandas", "numpy", "pyarrow", "grpc", "pydantic_settings", "google.protobuf")

ROOT = Path(airflow_provider_milvus.__file__).parent
USED_BY_DAGS = [
    f"airflow_provider_milvus.{folder}.{path.stem}"
    for folder in ("hooks", "operators", "sensors", "triggers")
    for path in sorted((ROOT / folder).glob("[!_]*.py"))
]

DECORATORS = "airflow_provider_milvus.decorators.milvus"

IMPORTED_BY = """
    import importlib, sys
    def present():
        return {each for each in sys.modules if each in HEAVY or each.startswith(tuple(f"{name}." for name in HEAVY))}
    HEAVY, DECORATORS, MODULES = %r
    from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseSensorOperator, conf
    from airflow.triggers.base import BaseTrigger, TriggerEvent
    if DECORATORS in MODULES:
        # Which a DAG file has imported that names one of ours.
        from airflow.providers.common.compat.sdk import task
    before, modules = present(), set(sys.modules)
    import airflow_provider_milvus.get_provider_info
    for module in MODULES:
        importlib.import_module(module)
    print(sorted(present() - before))
    print(sorted(each for each in set(sys.modules) - modules if not each.startswith("airflow_provider_milvus")))
    print(sorted(each for each in sys.modules if each.startswith("airflow_provider_milvus")))
"""


@pytest.fixture(scope="module", params=[USED_BY_DAGS, [DECORATORS]], ids=["doors", "decorators"])
def imported(request, run_python) -> tuple[list[str], list[str], list[str]]:
    code = IMPORTED_BY % ((HEAVY, DECORATORS, request.param),)
    heavy, new, ours = map(ast.literal_eval, run_python(code).splitlines()[-3:])
    return heavy, new, ours


def test_no_heavy_library_is_imported(imported):
    heavy, _, _ = imported
    assert heavy == []


def test_next_to_nothing_is_imported_that_airflow_has_not(imported):
    _, new, _ = imported
    third_party = {each.partition(".")[0] for each in new} - {"airflow", "__future__"}
    assert third_party <= {"fnmatch", "random", "ipaddress", "dataclasses", "enum", "itertools", "asyncio", "concurrent"}


def test_the_client_and_the_settings_wait_for_the_first_run(imported):
    _, _, ours = imported
    assert {
        "airflow_provider_milvus.client.client",
        "airflow_provider_milvus.client.connection",
        "airflow_provider_milvus.client.errors",
    }.isdisjoint(ours)


def test_provider_info_imports_nothing_at_all(run_python):
    code = """
        import sys
        before = set(sys.modules)
        from airflow_provider_milvus.get_provider_info import get_provider_info
        get_provider_info()
        print(sorted(set(sys.modules) - before - {"typing", "__future__"}))
    """
    new = ast.literal_eval(run_python(code))
    assert [each for each in new if each.startswith("airflow.") or each.partition(".")[0] in HEAVY] == []
    assert {each for each in new if each.startswith("airflow_provider_milvus")} == {
        "airflow_provider_milvus",
        "airflow_provider_milvus.get_provider_info",
    }
