"""Every part of Airflow imports the plugin: it must cost next to nothing there, and be absent where Airflow has no pages."""

from __future__ import annotations

import ast
from importlib.metadata import distribution

import airflow_provider_milvus.page.plugin as plugin
from tests.public import TASKS

LOADED = """
    import sys
    import airflow_provider_milvus
    from airflow.providers.common.compat.sdk import AirflowPlugin
    before = set(sys.modules)
    from airflow_provider_milvus.page.plugin import MilvusPage
    page = MilvusPage()
    print(sorted(set(sys.modules) - before))
"""


def test_airflow_finds_it():
    (entry,) = [each for each in distribution("airflow-provider-milvus").entry_points if each.group == "airflow.plugins"]
    assert entry.load() is plugin.MilvusPage


def test_costs_its_own_module_alone(run_python):
    new = ast.literal_eval(run_python(LOADED).splitlines()[-1])
    assert new == ["airflow_provider_milvus.page", "airflow_provider_milvus.page.plugin"]


def test_has_a_page_where_airflow_has_pages():
    page = plugin.MilvusPage()
    assert bool(page.external_views) == plugin.HAS_PAGES
    assert bool(page.fastapi_apps) == plugin.HAS_PAGES
    assert {kind for link in page.operator_extra_links for kind in link.operators} >= (
        set(TASKS) if plugin.HAS_PAGES else set()
    )
    for view in page.external_views:
        assert view["destination"] == "nav"
        assert f"/{view['href']}".startswith(f"{plugin.URL}/")


def test_an_airflow_without_pages_is_offered_nothing(run_python):
    """As the plugin class of 2.11 and 3.0: it knows no external views."""
    code = """
        import sys
        import airflow.providers.common.compat.sdk as sdk
        sdk.AirflowPlugin = type("AirflowPlugin", (), {"name": None})
        from airflow_provider_milvus.page.plugin import MilvusPage
        page = MilvusPage()
        print(page.external_views, page.fastapi_apps, "airflow_provider_milvus.page.app" in sys.modules)
    """
    assert run_python(code).splitlines()[-1] == "[] [] False"
