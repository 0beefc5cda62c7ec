"""Links from a task in Airflow's UI: to its collection in Attu or the cloud console, and to the Milvus page.

Airflow 3 stores the first with each task that ends, and asks the second of a plugin. Airflow 2 shows neither.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink, conf

if TYPE_CHECKING:
    from airflow_provider_milvus.client.connection import ConnectionSettings
    from airflow_provider_milvus.hooks.milvus import MilvusHook

PAGE = "/plugin/milvus"
"""The route of the Milvus page below Airflow's own address."""
ATTU = "/#/databases/{database}/{collection}/overview"
"""Where Attu (2.4 and later) shows a collection."""
ATTU_OF_ALL = "/#/databases/{database}"
_IS_STORED = hasattr(BaseOperatorLink, "xcom_key")


def console_url(settings: ConnectionSettings, collection_name: str | None) -> str:
    """The address of a collection, or of all, in the connection's console; empty where there is none."""
    template = settings.console_url or ""
    if template and "{" not in template:
        template = template.rstrip("/") + (ATTU if collection_name else ATTU_OF_ALL)
    if "{collection}" in template and not collection_name:
        return ""
    names = {"{database}": settings.database, "{collection}": collection_name or ""}
    for placeholder, name in names.items():
        template = template.replace(placeholder, quote(name, safe=""))
    return template


class MilvusConsoleLink(BaseOperatorLink):
    """To the task's collection in Attu or the cloud console, whose address is the connection's ``console_url``."""

    name = "Milvus console"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Asked by the worker when the task has ended."""
        settings = operator.hook_in_use.known_settings if operator.hook_in_use is not None else None
        return "" if settings is None else console_url(settings, getattr(operator, "collection_name", None))


class MilvusPageLink(BaseOperatorLink):
    """To the Milvus page, for the tasks of these classes. A plugin gives it to Airflow, so that no task has to store it."""

    name = "Milvus page"

    def __init__(self, operators: Sequence[type]) -> None:
        self.operators = list(operators)  # type: ignore[misc]

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return str(conf.get("api", "base_url", fallback="")).rstrip("/") + PAGE


class HasLinks:
    """Base of operators and sensors."""

    hook_in_use: MilvusHook | None = None

    if TYPE_CHECKING:
        operator_extra_links: Collection[BaseOperatorLink] = ()
    else:

        @property
        def operator_extra_links(self) -> tuple[BaseOperatorLink, ...]:
            """Where the DAG is read, all that there may be; of a task that has run, only those that lead somewhere."""
            link = MilvusConsoleLink()
            # A mapped task, which is none of ours, is asked as well.
            has_run = getattr(self, "hook_in_use", None) is not None
            return (link,) if _IS_STORED and not (has_run and not link.get_link(self, ti_key=None)) else ()
