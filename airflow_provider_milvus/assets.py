"""A collection as an Airflow asset: ``milvus://host:port/database/collection``, and how OpenLineage names it.

Airflow finds the functions here through ``get_provider_info``. One checks and normalises each ``milvus://`` URI that a DAG
names, so that a consumer's URI and the one that an operator emits are the same text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from airflow_provider_milvus.arguments import name
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.get_provider_info import DEFAULT_DATABASE, DEFAULT_PORT

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset
    from airflow.providers.common.compat.sdk import Asset

SCHEME = "milvus"
DEFAULT_TLS_PORT = 443
_FORM = "milvus://host:port/database/collection"


def collection_uri(server: str, database: str, collection: str) -> str | None:
    """The URI of a collection (or of an alias) on the server with this ``http(s)://`` address.

    ``None`` for a Milvus Lite file and for a Unix socket: they have no host, and mean another server on each machine.
    """
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    # pymilvus's own defaults.
    port = parts.port or (DEFAULT_TLS_PORT if parts.scheme == "https" else DEFAULT_PORT)
    return f"{SCHEME}://{parts.hostname}:{port}/{database}/{collection}"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """The URI as it is compared: the host in small letters, port 19530 and the database ``default`` filled in.

    :raises MilvusInvalidArgumentError: a ``ValueError``; it is not of the form ``milvus://host:port/database/collection``.
    """
    if "@" in uri.netloc:
        raise MilvusInvalidArgumentError(f"An asset's URI holds no credentials: write {_FORM}, the connection has the rest.")
    if uri.query or uri.fragment:
        raise MilvusInvalidArgumentError(f"{uri.geturl()!r} has more than {_FORM}.")
    try:
        host, port = uri.hostname, uri.port
    except ValueError:
        raise MilvusInvalidArgumentError(f"{uri.geturl()!r} has a port that is not between 1 and 65535.") from None
    if not host or port == 0:
        raise MilvusInvalidArgumentError(f"{uri.geturl()!r} has no {'port that can be' if host else 'host'}: write {_FORM}.")
    path = uri.path.strip("/").split("/")
    if len(path) > 2:
        raise MilvusInvalidArgumentError(f"{uri.geturl()!r} has a path of more than two parts: write {_FORM}.")
    database, collection = path if len(path) == 2 else (DEFAULT_DATABASE, path[0])
    checked = (name("the asset's database", database), name("the asset's collection", collection))
    return SplitResult(SCHEME, f"{host}:{port or DEFAULT_PORT}", f"/{'/'.join(checked)}", "", "")


def create_asset(
    *,
    host: str,
    collection: str,
    port: int = DEFAULT_PORT,
    database: str = DEFAULT_DATABASE,
    extra: dict[str, Any] | None = None,
) -> Asset:
    """The asset of a collection, for Airflow's lineage collector; in a DAG, ``Asset("milvus://…")`` says the same."""
    from airflow.providers.common.compat.sdk import Asset

    return Asset(uri=f"{SCHEME}://{host}:{port}/{database}/{collection}", extra=extra)


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> OpenLineageDataset:
    """OpenLineage's name of a collection: the server is the namespace, ``database.collection`` the name."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    parts = urlsplit(asset.uri)
    return Dataset(namespace=f"{SCHEME}://{parts.netloc}", name=parts.path.strip("/").replace("/", "."))
