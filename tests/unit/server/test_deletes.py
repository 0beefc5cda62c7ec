"""Deletes over the tries of a task, as flows."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_milvus.client.tries import Tries
from airflow_provider_milvus.exceptions import MilvusInDoubtError, MilvusNotLoadedError, MilvusUnavailableError
from airflow_provider_milvus.schema.definition import Definition
from airflow_provider_milvus.schema.proto import schema_bytes
from airflow_provider_milvus.server import deletes
from tests.unit.play import Clock, Server, partitions, play

pytestmark = pytest.mark.newest

FIELDS = [{"name": "id", "type": "INT64", "is_primary": True}, {"name": "vector", "type": "FLOAT_VECTOR", "dim": 2}]


def described(number: int) -> Any:
    from pymilvus.grpc_gen import milvus_pb2, schema_pb2

    definition = Definition.of("docs", {"fields": FIELDS})
    schema = schema_pb2.CollectionSchema.FromString(schema_bytes("docs", definition.schema))
    return milvus_pb2.DescribeCollectionResponse(schema=schema, collectionID=number)


@pytest.mark.parametrize(("now", "error"), [(8, MilvusInDoubtError), (7, MilvusUnavailableError)])
def test_a_retry_deletes_in_no_other_collection_that_has_got_the_name(clock: Clock, now: int, error: type) -> None:
    server = Server(
        DescribeCollection=described(7),
        ShowPartitions=partitions(),
        Delete=MilvusUnavailableError("gone"),
        Query=MilvusNotLoadedError("not loaded"),
    )
    notes: list[Any] = []
    with pytest.raises(MilvusUnavailableError):
        play(deletes.by_ids("docs", "", [1], tries=Tries(note=notes.append), report=print), server, clock)
    sent = len(server.sent("Delete"))
    server._answers["DescribeCollection"] = described(now)

    with pytest.raises(error):
        play(deletes.by_ids("docs", "", [1], tries=Tries(notes[0]), report=print), server, clock)
    assert (len(server.sent("Delete")) > sent) == (now == 7)
