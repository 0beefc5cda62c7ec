"""What opens an object storage, as an Airflow connection holds it. Both operators of bulk import read it by this one rule."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_milvus.exceptions import MilvusConfigurationError
from airflow_provider_milvus.hooks.connections import fetch

_ENDPOINT = re.compile(r"https?://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
KEYS_IN_EXTRA = ("aws_access_key_id", "aws_secret_access_key")


@dataclass(frozen=True, slots=True)
class StorageConnection:
    """The keys and the address of an object storage. An empty ``endpoint_url`` is AWS, an empty ``region`` its default one.

    An Airflow connection holds the keys as login and password, or as ``aws_access_key_id`` and ``aws_secret_access_key`` in
    its extra; the extra may also hold ``aws_session_token``, ``endpoint_url`` and ``region_name``. A connection without
    ``endpoint_url`` may name the storage by host and port; a host without a scheme is reached over https. There is no other
    source of keys, such as a role or the worker's environment: a server that reads the files has neither.
    """

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    endpoint_url: str = ""
    region: str = ""

    @staticmethod
    def read(conn_id: str) -> StorageConnection:
        """Read the Airflow connection ``conn_id``.

        :raises MilvusConfigurationError: it does not exist, holds no pair of keys, or its address is not one of http or https.
        """
        connection = fetch(conn_id)
        extra = connection.extra_dejson
        token, region = (str(extra.get(name) or "") for name in ("aws_session_token", "region_name"))
        return StorageConnection(*_read_keys(connection, extra), token, _read_endpoint_url(connection, extra), region)

    def for_server(self) -> dict[str, str]:
        """What an import request carries, so that the server can read the files."""
        fields = {"accessKey": self.access_key, "secretKey": self.secret_key, "token": self.session_token}
        return {name: value for name, value in fields.items() if value}

    def for_fsspec(self) -> dict[str, Any]:
        """What opens the storage in this process: options of fsspec's ``s3`` file system."""
        return {
            "key": self.access_key,
            "secret": self.secret_key,
            "token": self.session_token or None,
            "endpoint_url": self.endpoint_url or None,
            "client_kwargs": {"region_name": self.region} if self.region else {},
            # Some stores, such as older releases of MinIO, refuse the checksums that AWS's library adds to an upload.
            "config_kwargs": {"request_checksum_calculation": "when_required"},
            # A later try in the same process looks anew.
            "use_listings_cache": False,
            "skip_instance_cache": True,
        }


def _read_keys(connection: Any, extra: dict[str, Any]) -> tuple[str, str]:
    pairs = (
        {"login": connection.login, "password": connection.password},
        {f"{key} in its extra": extra.get(key) for key in KEYS_IN_EXTRA},
    )
    for pair in pairs:
        if all(pair.values()):
            access_key, secret_key = map(str, pair.values())
            return access_key, secret_key
    missing = ", or ".join(" and ".join(setting for setting, value in pair.items() if not value) for pair in pairs)
    raise MilvusConfigurationError(f"Connection {connection.conn_id!r} holds no keys of an object storage; it lacks {missing}.")


def _read_endpoint_url(connection: Any, extra: dict[str, Any]) -> str:
    given = extra.get("endpoint_url")
    url = str(given or connection.host or "").rstrip("/")
    if not url:
        return ""
    match = _ENDPOINT.fullmatch(url if "://" in url else f"https://{url}")
    if match is None:
        # The text may hold a password, so it is not shown.
        raise MilvusConfigurationError(
            f"Connection {connection.conn_id!r} has no usable endpoint_url or host: it must be http://host:port or "
            "https://host:port, without credentials."
        )
    return match[0] + (f":{connection.port}" if connection.port and not (given or match[2]) else "")
