"""Waiting for an import that somebody else began."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import name
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.sensors.base import MilvusConditionSensor

if TYPE_CHECKING:
    from airflow_provider_milvus.bulk_import.condition import ImportFinished


class MilvusBulkImportSensor(MilvusConditionSensor):
    """Wait until import jobs have completed: every file is in.

    It only reads. The rows of a collection that was loaded before are served after a refresh, which
    ``MilvusRefreshLoadOperator`` does.

    :param collection_name: the collection that is imported into. (templated)
    :param job_id: the job, or a list of jobs; of Milvus 2.3 each file has its own. (templated)
    :raises MilvusNeverMetError: a job has failed, with the reasons by file, or the server does not know it, or no longer.
    :raises MilvusUnsupportedError: the server is Milvus Lite.
    """

    template_fields: Sequence[str] = (*MilvusConditionSensor.template_fields, "collection_name", "job_id")
    ui_color = "#d7f0fb"

    def __init__(self, *, collection_name: str, job_id: str | int | Sequence[str | int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.job_id = job_id

    def condition(self) -> ImportFinished:
        from airflow_provider_milvus.bulk_import.condition import ImportFinished

        return ImportFinished(name("collection_name", self.collection_name), _ids(self.job_id))


def _ids(value: Any) -> list[str]:
    """The ids, also from the text that a template makes of a list."""
    import ast

    if isinstance(value, str) and value.startswith("["):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise MilvusInvalidArgumentError(f"job_id {value!r} is neither an id nor a list of ids.") from None
    given = value if isinstance(value, (list, tuple)) else [value]
    ids = [str(each).strip() for each in given if isinstance(each, (str, int)) and not isinstance(each, bool)]
    if not ids or len(ids) != len(given) or not all(ids):
        raise MilvusInvalidArgumentError(f"job_id must be the id of an import job, or a list of ids, not {value!r}.")
    return ids
