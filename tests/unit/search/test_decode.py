"""Values of an answer, and what an ingest makes of them again."""

from __future__ import annotations

import pytest

from airflow_provider_milvus.protocol import schema_pb2
from airflow_provider_milvus.rows.scalars import scalar_column
from airflow_provider_milvus.schema.model import Field, Schema
from airflow_provider_milvus.search.decode import rows

pytestmark = pytest.mark.newest

SCHEMA = Schema.of(
    {
        "fields": [
            {"name": "id", "type": "INT64", "is_primary": True},
            {"name": "meta", "type": "JSON"},
            {"name": "vector", "type": "FLOAT_VECTOR", "dim": 2},
        ]
    }
)


@pytest.mark.parametrize("text", [b'"123"', b'"true"', b'"[1]"', b'"plain"', b"null", b"123", b"[1]", b'{"a":"b"}', b"true"])
def test_json_that_is_written_again_is_the_same(text: bytes) -> None:
    field = schema_pb2.FieldData(type=23, field_name="meta", scalars={"json_data": {"data": [text]}})
    ((written,), (read,)) = (rows([field], SCHEMA, ["meta"], to_be_written=again) for again in (True, False))
    column, reasons = scalar_column([written["meta"]], Field("meta", "JSON"))
    assert (column.values, reasons) == ([text], {})
    assert read["meta"] == {b'"plain"': "plain", b"null": None}.get(text, read["meta"])
