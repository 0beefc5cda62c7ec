"""The provider's own calls without pymilvus, beside a real ``import pymilvus``, and where pymilvus is arranged otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dev.servers.scripted import ScriptedMilvus
from tests.integration.client.test_lazy_pymilvus import in_a_new_process

RELEASE = """
import json, os, sys
os.environ["AIRFLOW_CONN_MILVUS_DEFAULT"] = json.dumps({"conn_type": "milvus", "extra": {"uri": %r}})
from airflow_provider_milvus.operators.milvus import MilvusReleaseCollectionOperator

MilvusReleaseCollectionOperator(task_id="t", collection_name="docs").execute({})
"""

SHARED = """
from airflow_provider_milvus.protocol import common_pb2, milvus_pb2, schema_pb2
import pymilvus
from pymilvus.grpc_gen import common_pb2 as common, milvus_pb2 as milvus, schema_pb2 as schema
for ours, theirs in ((common_pb2, common), (milvus_pb2, milvus), (schema_pb2, schema)):
    names = list(theirs.DESCRIPTOR.message_types_by_name)
    assert len(names) > 5
    for name in names:
        assert getattr(ours, name) is getattr(theirs, name), name
"""


@pytest.mark.parametrize("implementation", ["upb", "python"])
@pytest.mark.parametrize("first", ["", "import pymilvus\n"], ids=["pymilvus later", "pymilvus first"])
def test_messages_are_the_same_as_those_of_pymilvus(
    tmp_path: Path, first: str, implementation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", implementation)

    in_a_new_process(first + SHARED, tmp_path)


def test_a_release_imports_no_pymilvus(tmp_path: Path, scripted: ScriptedMilvus) -> None:
    scripted.add("docs", ("Loaded", 100))

    told = in_a_new_process(
        RELEASE % scripted.uri + "print(sorted(each for each in sys.modules if 'pymilvus' in each))", tmp_path
    )

    loaded = json.loads(told.splitlines()[-1].replace("'", '"'))
    assert not [each for each in loaded if each.startswith("pymilvus")]
    assert len(scripted.received("ReleaseCollection")) == 1


def test_threads_that_import_pymilvus_meanwhile_see_the_whole_of_it(tmp_path: Path) -> None:
    program = """
import sys, threading
errors, begin = [], threading.Barrier(9)

def ours():
    begin.wait()
    from airflow_provider_milvus.protocol import milvus_pb2
    milvus_pb2.ReleaseCollectionRequest(collection_name="docs").SerializeToString()

def theirs():
    begin.wait()
    import pymilvus
    pymilvus.MilvusClient, pymilvus.DataType.INT64
    from pymilvus.grpc_gen import milvus_pb2
    milvus_pb2.ReleaseCollectionRequest(collection_name="docs").SerializeToString()

def tell(work):
    try:
        work()
    except BaseException as error:
        errors.append(repr(error))

threads = [threading.Thread(target=tell, args=(work,)) for work in (ours, theirs, ours, theirs, ours, theirs, ours, theirs)]
for thread in threads:
    thread.start()
begin.wait()
for thread in threads:
    thread.join(60)
    assert not thread.is_alive(), "it waits for ever"
assert not errors, errors
print("fine")
"""
    for _ in range(3):
        assert in_a_new_process(program, tmp_path).endswith("fine\n")


def test_where_pymilvus_is_arranged_otherwise_the_whole_of_it_is_imported(tmp_path: Path, scripted: ScriptedMilvus) -> None:
    scripted.add("docs", ("Loaded", 100))
    elsewhere = """
import os
is_file = os.path.isfile
os.path.isfile = lambda path: "grpc_gen" not in str(path) and is_file(path)
"""

    told = in_a_new_process(elsewhere + RELEASE % scripted.uri + "print('pymilvus' in sys.modules)", tmp_path)

    assert told.endswith("True\n")
    assert len(scripted.received("ReleaseCollection")) == 1


def test_what_is_none_of_its_modules_is_an_error(tmp_path: Path) -> None:
    program = """
try:
    from airflow_provider_milvus.protocol import feder_pb3
except ImportError as error:
    print(error)
"""
    assert "feder_pb3" in in_a_new_process(program, tmp_path)
