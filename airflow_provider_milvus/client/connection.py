"""An Airflow connection of type ``milvus`` becomes checked settings.

Every mistake in a connection is reported here, before a client exists, with the setting's name and without a secret's value.
The hook imports this module when it first needs a connection, so that parsing a DAG file does not import pydantic.
"""

from __future__ import annotations

import json
import os
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from airflow_provider_milvus.exceptions import MilvusConfigurationError, MilvusInvalidArgumentError
from airflow_provider_milvus.get_provider_info import DEFAULT_CONNECT_TIMEOUT, DEFAULT_DATABASE, DEFAULT_PORT, DEFAULT_TIMEOUT
from airflow_provider_milvus.tls import check_files
from airflow_provider_milvus.wording import without, without_secrets

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

_TLS_FILES = ("server_pem_path", "ca_pem_path", "client_pem_path", "client_key_path")


def _none_if_blank(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _strip(value: Any) -> Any:
    return (value.strip() or None) if isinstance(value, str) else value


def _read_seconds(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number of seconds, not a boolean")  # noqa: TRY004, pydantic expects it
    return _none_if_blank(value)


Text = Annotated[str | None, BeforeValidator(_strip)]
Secret = Annotated[SecretStr | None, BeforeValidator(_none_if_blank)]
Flag = Annotated[bool | None, BeforeValidator(_none_if_blank)]
Seconds = Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, BeforeValidator(_read_seconds)]


class _Extra(BaseModel):
    """The connection's ``extra``, as ``docs/connection.md`` describes it; any other setting is a mistake."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)

    database: Text = None
    token: Secret = None
    uri: Text = None
    timeout: Seconds = None
    connect_timeout: Seconds = None
    secure: Flag = None
    ca_pem_path: Text = None
    server_pem_path: Text = None
    client_pem_path: Text = None
    client_key_path: Text = None
    server_name: Text = None
    metrics_url: Text = None
    metrics_matchers: Text = None
    proxies: Annotated[Annotated[int, Field(gt=0)] | None, BeforeValidator(_none_if_blank)] = None
    console_url: Text = None
    rest_url: Text = None
    cluster_id: Text = None
    project_id: Text = None
    region_id: Text = None


class ConnectionSettings(BaseModel):
    """What a client needs to reach one database of one Milvus, with the defaults filled in."""

    model_config = ConfigDict(frozen=True)

    conn_id: str
    uri: str
    token: SecretStr
    database: str
    secure: bool
    tls: dict[str, str]
    timeout: float
    connect_timeout: float
    metrics_url: SecretStr | None = None
    metrics_matchers: str | None = None
    proxies: int | None = None
    """How many proxies the Milvus has; None: the metrics or the server have to tell."""
    rest_url: SecretStr | None = None
    console_url: str | None = None
    """The base URL of Attu, or a template with {database} and {collection}."""
    cloud: dict[str, str] = Field(default_factory=dict)
    """Which cluster, or which project and region, Zilliz Cloud's REST API shall use; empty for a Milvus."""

    @property
    def server(self) -> str:
        """The connection and its server, for messages; without a secret."""
        return f"Connection {self.conn_id!r} ({self.uri})"

    @property
    def where(self) -> str:
        """The same, with the database."""
        return f"{self.server}, database {self.database!r}"

    @property
    def secrets(self) -> set[str]:
        """The token, and the passwords in it and in ``metrics_url``, which logs must mask."""
        token = self.token.get_secret_value()
        urls = self.metrics_url.get_secret_value().split(",") if self.metrics_url else []
        encoded = {urlsplit(url.strip()).password or "" for url in urls}
        return {token, token.partition(":")[2], *encoded, *map(unquote, encoded)} - {""}

    def without_secrets(self, text: str) -> str:
        """A text of the server, which may repeat what was sent to it."""
        return without(self.secrets, text)

    @classmethod
    def of(cls, connection: Connection, *, database: str | None = None) -> ConnectionSettings:
        """The settings of ``connection``; ``database`` replaces the connection's own.

        :raises MilvusConfigurationError: a setting is unknown, malformed or contradicts another. The message names it.
        """
        try:
            return _read(connection, database)
        except (_WrongSettingError, MilvusConfigurationError, MilvusInvalidArgumentError) as wrong:
            raise MilvusConfigurationError(f"Connection {connection.conn_id!r}: {wrong}") from None


class _WrongSettingError(Exception):
    """The mistake in a setting, in words."""


def _read(connection: Connection, database: str | None) -> ConnectionSettings:
    extra = _read_extra(connection)
    uri, uri_database = _read_address(connection, extra)
    tls = _read_tls_files(extra)
    secure = _read_secure(extra, uri, tls, _strip(connection.host) or "")
    if secure and uri.startswith("http://"):
        uri = "https://" + uri.removeprefix("http://")
    databases = {value for value in (extra.database, _none_if_blank(connection.schema), uri_database) if value}
    if len(databases) > 1 and database is None:
        raise _WrongSettingError(
            f"the database is given more than once and differently: {', '.join(sorted(map(repr, databases)))}."
        )
    _check_metrics(extra)
    return ConnectionSettings(
        conn_id=connection.conn_id or "",
        uri=uri,
        token=_read_token(connection, extra),
        database=database or next(iter(databases), DEFAULT_DATABASE),
        secure=secure,
        tls=tls,
        timeout=extra.timeout or DEFAULT_TIMEOUT,
        connect_timeout=extra.connect_timeout or DEFAULT_CONNECT_TIMEOUT,
        metrics_url=SecretStr(extra.metrics_url) if extra.metrics_url else None,
        metrics_matchers=extra.metrics_matchers,
        proxies=extra.proxies,
        rest_url=_read_rest_url(extra),
        console_url=_read_console_url(extra),
        cloud=_read_cloud(extra),
    )


def _read_extra(connection: Connection) -> _Extra:
    raw = connection.extra
    try:
        values = json.loads(raw) if raw else {}
    except ValueError:
        raise _WrongSettingError("extra is not valid JSON.") from None
    if not isinstance(values, dict):
        raise _WrongSettingError("extra must be a JSON object.")
    try:
        return _Extra.model_validate(values)
    except ValidationError as invalid:
        raise _WrongSettingError(" ".join(map(_sentence, invalid.errors(include_input=False)))) from None


def _sentence(error: Any) -> str:
    setting = error["loc"][0]
    if error["type"] == "extra_forbidden":
        return f"extra has the unknown setting {setting!r}; known are {', '.join(_Extra.model_fields)}."
    message = error["msg"].removeprefix("Value error, ")
    return f"extra {setting!r}: {message[0].lower()}{message[1:]}."


def _read_address(connection: Connection, extra: _Extra) -> tuple[str, str | None]:
    host = _strip(connection.host)
    port = connection.port or None
    if port is not None and not 0 < port < 65536:
        raise _WrongSettingError(f"port {port} is not between 1 and 65535.")
    if extra.uri:
        if host or port:
            raise _WrongSettingError("give either uri in extra or host and port, not both.")
        return _read_uri("uri", extra.uri)
    if not host:
        raise _WrongSettingError("neither host nor uri is set.")
    if "://" in host:
        uri, uri_database = _read_uri("host", host)
        if port is None:
            return uri, uri_database
        if urlsplit(uri).port is not None:
            raise _WrongSettingError("port is given twice: in host and in port.")
        return f"{uri}:{port}", uri_database
    if _is_ipv6(host):
        raise _ipv6_address("host", host)
    if "@" in host:
        raise _credentials_in("host")
    if any(character in "/:?#" or character.isspace() for character in host):
        raise _WrongSettingError(
            f"host {without_secrets(host)!r} must be a bare host name or address; the port belongs into port."
        )
    return f"http://{host}:{port or DEFAULT_PORT}", None


def _check_metrics(extra: _Extra) -> None:
    from airflow_provider_milvus.metrics import metrics_source

    if extra.metrics_matchers and not extra.metrics_url:
        raise _WrongSettingError("metrics_matchers is set without metrics_url.")
    if extra.metrics_url:
        metrics_source(extra.metrics_url, matchers=extra.metrics_matchers)


def _read_console_url(extra: _Extra) -> str | None:
    if not extra.console_url:
        return None
    url = extra.console_url
    filled = url.replace("{database}", "d").replace("{collection}", "c")
    try:
        parts = urlsplit(filled)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "{" in filled or "}" in filled or any(map(str.isspace, url)):
        raise _WrongSettingError(
            f"console_url {without_secrets(url)!r} must be an http:// or https:// address with a host; in it {{database}} and "
            "{collection} stand for names."
        )
    # Whoever sees a task sees its links.
    if parts.username or parts.password:
        raise _credentials_in("console_url")
    return url


def _read_rest_url(extra: _Extra) -> SecretStr | None:
    if not extra.rest_url:
        return None
    url = extra.rest_url.rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise _WrongSettingError(f"rest_url {without_secrets(url)!r} must be an http:// or https:// address with a host.")
    if parts.username or parts.password:
        raise _credentials_in("rest_url")
    if parts.query or parts.fragment:
        raise _WrongSettingError(f"rest_url {without_secrets(url)!r} may hold a path, and no query.")
    return SecretStr(url)


def _read_cloud(extra: _Extra) -> dict[str, str]:
    if bool(extra.project_id) != bool(extra.region_id):
        raise _WrongSettingError("project_id and region_id belong together; one is missing.")
    if extra.cluster_id and extra.project_id:
        raise _WrongSettingError("give cluster_id, or project_id and region_id, not all three.")
    fields = {"clusterId": extra.cluster_id, "projectId": extra.project_id, "regionId": extra.region_id}
    cloud = {key: value for key, value in fields.items() if value}
    if cloud and not extra.rest_url:
        raise _WrongSettingError(
            "cluster_id, or project_id and region_id, need rest_url: https://api.cloud.zilliz.com for Zilliz Cloud."
        )
    return cloud


def _credentials_in(setting: str) -> _WrongSettingError:
    return _WrongSettingError(f"{setting} holds credentials; put them into login and password, where Airflow protects them.")


def _is_ipv6(host: str) -> bool:
    try:
        return bool(IPv6Address(host.strip("[]")))
    except ValueError:
        return False


def _ipv6_address(setting: str, host: str) -> _WrongSettingError:
    # pymilvus (2.6.11, 3.0.2) loses the brackets, and gRPC then takes the port for a part of the address.
    return _WrongSettingError(f"{setting} {host!r} is an IPv6 address, which pymilvus cannot connect to; give a host name.")


def _read_uri(setting: str, uri: str) -> tuple[str, str | None]:
    if uri.startswith("unix:"):
        return uri, None
    if uri.endswith(".db") and "://" not in uri:
        folder = os.path.dirname(os.path.abspath(uri))
        if not os.path.isdir(folder):
            raise _WrongSettingError(f"{setting} names a Milvus Lite file in a folder that does not exist: {folder}.")
        return uri, None
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _WrongSettingError(
            f"{setting} {without_secrets(uri)!r} has a host that cannot be read, or a port that is not between 1 and 65535."
        ) from None
    if parts.scheme not in ("http", "https"):
        raise _WrongSettingError(
            f"{setting} {without_secrets(uri)!r} needs a scheme: http://, https://, unix:, or a path that ends in .db."
        )
    if parts.username or parts.password:
        raise _credentials_in(setting)
    if not host or port == 0:
        raise _WrongSettingError(f"{setting} {without_secrets(uri)!r} has no usable {'host' if not host else 'port'}.")
    if _is_ipv6(host):
        raise _ipv6_address(setting, host)
    if "global-cluster" in host:
        raise _WrongSettingError(
            f"{setting} {without_secrets(uri)!r} is a global cluster, and its primary cluster changes; give that one's address."
        )
    path = parts.path.strip("/")
    # A slash in a password would make it a database.
    if parts.query or parts.fragment or "/" in path or "@" in path:
        raise _WrongSettingError(
            f"{setting} {without_secrets(uri)!r} may hold host, port and database; all else has its own setting."
        )
    return f"{parts.scheme}://{parts.netloc}", path or None


def _read_token(connection: Connection, extra: _Extra) -> SecretStr:
    login, password = _none_if_blank(connection.login), connection.password or None
    if extra.token:
        if login or password:
            raise _WrongSettingError("give either token or login and password, not both.")
        return extra.token
    if bool(login) != bool(password):
        raise _WrongSettingError(f"{'login' if login else 'password'} is set without {'password' if login else 'login'}.")
    return SecretStr(f"{login}:{password}" if login else "")


def _read_tls_files(extra: _Extra) -> dict[str, str]:
    files = {setting: path for setting in _TLS_FILES if (path := getattr(extra, setting))}
    for setting, path in files.items():
        if "-----" in path or "\n" in path:
            raise _WrongSettingError(f"{setting} holds text, where the path of a PEM file belongs.")
        if not os.path.isfile(path):
            raise _WrongSettingError(f"{setting} names a file that does not exist: {path}.")
        if not os.access(path, os.R_OK):
            raise _WrongSettingError(f"{setting} names a file that cannot be read: {path}.")
    if ("client_pem_path" in files) != ("client_key_path" in files):
        raise _WrongSettingError("client_pem_path and client_key_path belong together; one is missing.")
    if "client_pem_path" in files:
        if "ca_pem_path" not in files:
            raise _WrongSettingError("client_pem_path and client_key_path need ca_pem_path too (mutual TLS).")
        if "server_pem_path" in files:
            raise _WrongSettingError("server_pem_path is for one-way TLS; with a client certificate give ca_pem_path only.")
    elif "ca_pem_path" in files and "server_pem_path" in files:
        raise _WrongSettingError("give ca_pem_path or server_pem_path, not both: either one names the trusted certificate.")
    check_files(files)
    if "client_pem_path" not in files and "ca_pem_path" in files:
        # Without a client certificate pymilvus ignores ca_pem_path and trusts server_pem_path.
        files["server_pem_path"] = files.pop("ca_pem_path")
    if extra.server_name:
        files["server_name"] = extra.server_name
    return files


def _read_secure(extra: _Extra, uri: str, tls: dict[str, str], host: str) -> bool:
    setting, address = ("uri", extra.uri) if extra.uri else ("host", host)
    if address.startswith("http://") and (extra.secure or tls):
        raise _WrongSettingError(
            f"{setting} says http, yet {'secure is true' if extra.secure else ', '.join(tls) + ' is set'}."
        )
    # False contradicts nothing: the form saves it for a switch that nobody touched.
    return bool(extra.secure or tls or uri.startswith("https://"))
