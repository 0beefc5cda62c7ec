"""A collection as an Airflow asset, ``milvus://host:port/database/collection``, and its name in OpenLineage.

Airflow finds the functions here through ``get_provider_info``. It normalises every ``milvus://`` URI of a DAG with
:func:`sanitize_uri`, so that the URI that a DAG waits for and the one that an operator emits are the same text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.get_provider_info import DEFAULT_DATABASE, DEFAULT_PORT
from airflow_provider_milvus.kinds import check_name

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset
    from airflow.providers.common.compat.sdk import Asset

SCHEME = "milvus"
DEFAULT_TLS_PORT = 443
_FORM = "milvus://host:port/database/collection"


def collection_uri(server: str, database: str, collection: str) -> str | None:
    """The asset URI of a collection, or of an alias, on the server with this ``http(s)://`` address.

    .. code-block:: python

        from airflow_provider_milvus.assets import collection_uri

        assert collection_uri("http://milvus:19530", "default", "docs") == "milvus://milvus:19530/default/docs"

    ``None`` for a Milvus Lite file and for a Unix socket: they have no host, and the same path is another server on another
    machine.
    """
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    # pymilvus's own defaults.
    port = parts.port or (DEFAULT_TLS_PORT if parts.scheme == "https" else DEFAULT_PORT)
    return f"{SCHEME}://{parts.hostname}:{port}/{database}/{collection}"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """The URI in the form that Airflow compares: the host in small letters, port 19530 and the database ``default`` filled in.

    .. code-block:: python

        from urllib.parse import urlsplit

        from airflow_provider_milvus.assets import sanitize_uri

        assert sanitize_uri(urlsplit("milvus://Milvus/docs")).geturl() == "milvus://milvus:19530/default/docs"

    :raises MilvusInvalidArgumentError: a ``ValueError``; the URI is not of the form ``milvus://host:port/database/collection``.
    """
    if "@" in uri.netloc:
        raise MilvusInvalidArgumentError(f"An asset's URI holds no credentials: write {_FORM}; the connection holds the rest.")
    if uri.query or uri.fragment:
        raise MilvusInvalidArgumentError(f"{uri.geturl()!r} has more than {_FORM}: leave out the query and the fragment.")
    try:
        host, port = uri.hostname, uri.port
    except ValueError:
        raise MilvusInvalidArgumentError(f"{uri.geturl()!r} has a port that is not between 1 and 65535.") from None
    if not host or port == 0:
        raise MilvusInvalidArgumentError(f"{uri.geturl()!r} has no {'usable port' if host else 'host'}: write {_FORM}.")
    path = uri.path.strip("/").split("/")
    if len(path) > 2:
        raise MilvusInvalidArgumentError(f"{uri.geturl()!r} has a path of more than two parts: write {_FORM}.")
    database, collection = path if len(path) == 2 else (DEFAULT_DATABASE, path[0])
    checked = (check_name("the asset's database", database), check_name("the asset's collection", collection))
    return SplitResult(SCHEME, f"{host}:{port or DEFAULT_PORT}", f"/{'/'.join(checked)}", "", "")


def create_asset(
    *,
    host: str,
    collection: str,
    port: int = DEFAULT_PORT,
    database: str = DEFAULT_DATABASE,
    extra: dict[str, Any] | None = None,
) -> Asset:
    """The asset of a collection, for Airflow's lineage collector; in a DAG, ``Asset("milvus://…")`` is the same.

    .. code-block:: python

        from airflow_provider_milvus.assets import create_asset

        assert create_asset(host="milvus", collection="docs").uri == "milvus://milvus:19530/default/docs"
    """
    from airflow.providers.common.compat.sdk import Asset

    return Asset(uri=f"{SCHEME}://{host}:{port}/{database}/{collection}", extra=extra)


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> OpenLineageDataset:
    """The collection's name in OpenLineage: the server is the namespace, ``database.collection`` the name."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    parts = urlsplit(asset.uri)
    return Dataset(namespace=f"{SCHEME}://{parts.netloc}", name=parts.path.strip("/").replace("/", "."))
