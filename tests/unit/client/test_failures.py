"""The sentence for each call that the package makes: none is missing, none is left over, and its fields are the call's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

import airflow_provider_milvus
from airflow_provider_milvus.bulk_import.rest_api import JOBS
from airflow_provider_milvus.client.failures import FAILURES, failure_in_words
from airflow_provider_milvus.client.flow import Method, Rest, Rpc

FILES = Path(airflow_provider_milvus.__file__).parent.rglob("*.py")


def texts_of(argument: ast.expr) -> Iterator[str]:
    if isinstance(argument, ast.IfExp):
        yield from (*texts_of(argument.body), *texts_of(argument.orelse))
    elif isinstance(argument, ast.JoinedStr):
        start, end = argument.values
        assert ast.unparse(start) == "{JOBS}"
        assert isinstance(end, ast.Constant)
        yield f"{JOBS.removeprefix('/v2/vectordb/')}{end.value}"
    else:
        assert isinstance(argument, ast.Constant), "a call's name is written out"
        yield argument.value


def calls_of_the_package() -> set[str]:
    return {
        text
        for path in FILES
        # The contract's calls are data.
        if path.parts[-2:] != ("contract", "check.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Rpc", "Rest")
        for text in texts_of(node.args[0])
    }


def test_every_call_of_the_package_has_a_sentence_and_no_sentence_is_left_over():
    assert set(FAILURES) == calls_of_the_package()


@pytest.mark.parametrize("name", [name for name in FAILURES if "/" not in name])
def test_a_sentence_uses_fields_that_the_call_has(name):
    from pymilvus.grpc_gen import milvus_pb2

    request = getattr(milvus_pb2, f"{name}Request", None)
    if request is None:
        pytest.skip("this pymilvus does not know the call")
    used = {field.partition("[")[0] for _, field, _, _ in Formatter().parse(FAILURES[name]) if field}
    words = {"partitions": "partition_names", "of_collection": "collection_name", "of_database": "db_name"}
    needed = {words.get(field, field) for field in used - {"was_not", "were_not"}}
    assert needed <= set(request.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize(
    ("call", "certain", "words"),
    [
        (Rpc("ReleaseCollection", {"collection_name": "docs"}), True, "Collection 'docs' was not released"),
        (Rpc("ReleaseCollection", {"collection_name": "docs"}), False, "Collection 'docs' may not have been released"),
        (Rpc("DescribeCollection", {"collection_name": "docs"}), False, "Collection 'docs' could not be described"),
        (
            Rpc("ReleasePartitions", {"collection_name": "docs", "partition_names": ["a", "b"]}),
            True,
            "Partitions 'a', 'b' of collection 'docs' were not released",
        ),
        (Rpc("DescribeAlias", {"alias": "live"}), True, "Alias 'live' could not be looked up"),
        (Rpc("Flush", {"collection_names": ["docs"]}), True, "The flush of collection 'docs' was not begun"),
        (Rpc("GetVersion"), True, "The server's version could not be read"),
        (
            Rest(f"{JOBS}/create", {"collectionName": "docs", "secretKey": "s3cret"}),
            False,
            "The import into collection 'docs' may not have been begun",
        ),
        (Rpc("RunAnalyzer", {"collection_name": "docs"}), True, "The call RunAnalyzer(docs) failed"),
        (Rpc("ReleaseCollection"), True, "The call ReleaseCollection() failed"),
        (Method("insert", ("docs",)), True, "The call insert(docs) failed"),
        (Method("insert", (), {"collection_name": "docs", "data": [{"secret": 1}]}), True, "The call insert(docs) failed"),
        (Method("create_schema"), True, "The call create_schema() failed"),
        (Method("list_collections", (5,)), True, "The call list_collections() failed"),
    ],
)
def test_a_failure_leads_with_the_thing_of_the_user_and_shows_no_data(call, certain, words):
    assert call.failure(certain=certain) == words


def test_a_name_that_a_call_does_not_have_is_not_made_up():
    assert failure_in_words("DescribeIndex", {"index_name": "i"}, certain=True) == "The call DescribeIndex() failed"
