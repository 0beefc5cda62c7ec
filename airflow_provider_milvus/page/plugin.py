"""The plugin through which Airflow learns of the page. Every part of Airflow imports it, so it imports nothing heavy itself.

Airflow before 3.1 has no such pages; there the plugin has nothing to offer.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

URL = "/milvus"
HAS_PAGES = hasattr(AirflowPlugin, "external_views")


class MilvusPage(AirflowPlugin):
    """A page in the navigation, and the app that serves it."""

    name = "milvus"
    # Relative to Airflow's own base, which may have a path.
    external_views = (
        [{"name": "Milvus", "href": f"{URL[1:]}/", "destination": "nav", "url_route": "milvus"}] if HAS_PAGES else []
    )

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Asked for by the API server alone."""
        if not HAS_PAGES:
            return []
        from airflow_provider_milvus.page.app import make_app

        return [{"app": make_app(), "url_prefix": URL, "name": "Milvus"}]

    @cached_property
    def operator_extra_links(self) -> list[Any]:  # type: ignore[override]
        """From each task to the page. Asked for where DAGs are shown or read."""
        if not HAS_PAGES:
            return []
        from airflow_provider_milvus.hooks.links import MilvusPageLink
        from airflow_provider_milvus.operators import milvus as operators
        from airflow_provider_milvus.sensors import milvus as sensors

        named = [getattr(door, name) for door in (operators, sensors) for name in dir(door) if name.startswith("Milvus")]
        return [MilvusPageLink([kind for kind in named if isinstance(kind, type)])]
