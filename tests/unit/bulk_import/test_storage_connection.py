"""One rule for what an Airflow connection says of an object storage."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_milvus.bulk_import.storage_connection import StorageConnection
from airflow_provider_milvus.exceptions import MilvusConfigurationError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import MilvusBulkImportOperator, MilvusPrepareImportOperator

pytestmark = pytest.mark.newest

LOGIN = {"login": "AKIA", "password": "s3cret"}
EXTRA = {"aws_access_key_id": "AKIA-of-extra", "aws_secret_access_key": "s3cret-of-extra"}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Keep a connection ``storage``."""
    return lambda **values: monkeypatch.setenv("AIRFLOW_CONN_STORAGE", json.dumps({"conn_type": "aws", **values}))


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        (LOGIN, ("AKIA", "s3cret")),
        ({"extra": EXTRA}, ("AKIA-of-extra", "s3cret-of-extra")),
        ({**LOGIN, "extra": EXTRA}, ("AKIA", "s3cret")),
        # Half a pair is not completed with half of the other.
        ({"login": "AKIA", "extra": EXTRA}, ("AKIA-of-extra", "s3cret-of-extra")),
    ],
    ids=["login", "extra", "both", "half a login"],
)
def test_keys_are_login_and_password_or_in_the_extra(store, values, keys):
    store(**values)
    connection = StorageConnection.read("storage")
    assert (connection.access_key, connection.secret_key) == keys
    assert connection.for_server() == {"accessKey": keys[0], "secretKey": keys[1]}


def test_session_token_and_region_are_in_the_extra(store):
    store(**LOGIN, extra={"aws_session_token": "sts", "region_name": "eu-west-1"})
    connection = StorageConnection.read("storage")
    assert (connection.for_server()["token"], connection.region) == ("sts", "eu-west-1")


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, ""),
        ({"extra": {"endpoint_url": "http://minio:9000/"}}, "http://minio:9000"),
        ({"extra": {"endpoint_url": "minio.example.com"}}, "https://minio.example.com"),
        ({"host": "minio", "port": 9000}, "https://minio:9000"),
        ({"host": "http://minio", "port": 9000}, "http://minio:9000"),
        ({"host": "http://minio:7", "port": 9000}, "http://minio:7"),
        ({"host": "other", "port": 1, "extra": {"endpoint_url": "http://minio"}}, "http://minio"),
        ({"extra": {"endpoint_url": "http://[::1]:9000"}}, "http://[::1]:9000"),
    ],
)
def test_endpoint_is_in_the_extra_or_is_host_and_port(store, values, url):
    store(**LOGIN, **values)
    assert StorageConnection.read("storage").endpoint_url == url


@pytest.mark.parametrize(
    "url",
    ["ftp://minio", "http://", "http://minio:port", "http://minio:123456", "http://AKIA:s3cret@minio", "http://AKIA:s3cret"],
)
def test_an_endpoint_that_is_none_is_refused_without_its_text(store, url):
    store(**LOGIN, extra={"endpoint_url": url})
    with pytest.raises(MilvusConfigurationError, match=r"'storage' has no usable endpoint_url") as refused:
        StorageConnection.read("storage")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({}, "login and password, or aws_access_key_id in its extra and aws_secret_access_key in its extra"),
        ({"login": "AKIA"}, "it lacks password, or aws_access_key_id"),
        ({"extra": {"aws_access_key_id": "AKIA"}}, "login and password, or aws_secret_access_key in its extra."),
        ({"extra": {"role_arn": "arn:aws:iam::1:role/r"}}, "it lacks login and password"),
    ],
)
def test_a_connection_without_keys_is_refused_by_both_operators(store, tmp_path, values, missing):
    store(**values)
    schema = {"fields": [{"name": "id", "type": "INT64", "is_primary": True}, {"name": "v", "type": "FLOAT_VECTOR", "dim": 2}]}
    prepare = MilvusPrepareImportOperator(
        task_id="p", rows=[], schema=schema, path="s3://bucket/files", storage_conn_id="storage"
    )
    import_files = MilvusBulkImportOperator(
        task_id="i", collection_name="docs", files="s3://bucket/1.parquet", storage_conn_id="storage"
    )
    for begin in (lambda: prepare.execute({}), lambda: import_files._target(MilvusHook(), "docs")):
        with pytest.raises(MilvusConfigurationError, match="'storage' holds no keys") as refused:
            begin()
        assert missing in str(refused.value)


def test_no_key_is_in_its_text(store):
    store(**LOGIN, extra={"aws_session_token": "s3cret-too"})
    assert "AKIA" not in repr(StorageConnection.read("storage"))
    assert "s3cret" not in repr(StorageConnection.read("storage"))
