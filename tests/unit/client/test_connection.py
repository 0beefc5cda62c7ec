"""An Airflow connection read as settings: what each field means, and what is refused before a client exists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Connection
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airflow_provider_milvus.client.connection import ConnectionSettings
from airflow_provider_milvus.exceptions import MilvusConfigurationError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from tests.certificates import Authority

SECRET = "canary-5up3r-s3cret"


def refusal(connection: Connection, **arguments: str) -> str:
    with pytest.raises(MilvusConfigurationError) as refused:
        ConnectionSettings.of(connection, **arguments)
    message = str(refused.value)
    assert message.startswith("Connection 'm': ")
    assert message.endswith(".")
    return message


@pytest.fixture
def pem(tmp_path: Path) -> str:
    """A certificate and its key, in one file."""
    certificate, key = Authority(tmp_path, "ours").issue("some")
    path = tmp_path / "both.pem"
    path.write_text(certificate.read_text() + key.read_text())
    return str(path)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"server_pem_path": "notes"}, "server_pem_path names a file that does not hold a certificate"),
        ({"ca_pem_path": "notes"}, "ca_pem_path names"),
        ({"ca_pem_path": "empty"}, "ca_pem_path names"),
        ({"ca_pem_path": "notes", "client_pem_path": "pem", "client_key_path": "pem"}, "ca_pem_path names"),
        ({"ca_pem_path": "pem", "client_pem_path": "notes", "client_key_path": "pem"}, "client_pem_path names"),
        ({"ca_pem_path": "pem", "client_pem_path": "pem", "client_key_path": "notes"}, "client_key_path names"),
        ({"ca_pem_path": "pem", "client_pem_path": "pem", "client_key_path": "locked"}, "client_key_path names"),
        ({"ca_pem_path": "pem", "client_pem_path": "pem", "client_key_path": "other"}, "client_key_path names"),
    ],
)
def test_a_file_that_holds_something_else_is_refused_by_its_setting(connection, pem, tmp_path, settings, named):
    key = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (tmp_path / "notes").write_text("root:x:0:0:root:/root:/bin/bash")
    (tmp_path / "empty").touch()
    (tmp_path / "other").write_bytes(key.private_bytes(*form, serialization.NoEncryption()))
    (tmp_path / "locked").write_bytes(key.private_bytes(*form, serialization.BestAvailableEncryption(b"secret")))

    message = refusal(
        connection(host="h", **{name: pem if file == "pem" else str(tmp_path / file) for name, file in settings.items()})
    )

    assert named in message


def test_a_host_alone_gets_every_default(connection):
    settings = ConnectionSettings.of(connection(host="milvus"))
    assert settings.model_dump() == {
        "conn_id": "m",
        "uri": "http://milvus:19530",
        "token": settings.token,
        "database": "default",
        "secure": False,
        "tls": {},
        "timeout": 60.0,
        "connect_timeout": 10.0,
        "metrics_url": None,
        "metrics_matchers": None,
        "proxies": None,
        "console_url": None,
        "rest_url": None,
        "cloud": {},
    }
    assert settings.token.get_secret_value() == ""


@pytest.mark.parametrize(
    ("fields", "uri"),
    [
        ({"host": "h", "port": 19531}, "http://h:19531"),
        ({"host": "h", "port": 0}, "http://h:19530"),
        ({"host": "h", "port": None}, "http://h:19530"),
        ({"host": " h ", "port": 1}, "http://h:1"),
        ({"host": "10.0.0.1", "port": 65535}, "http://10.0.0.1:65535"),
        ({"host": "http://h:1"}, "http://h:1"),
        ({"host": "http://h", "port": 2}, "http://h:2"),
        ({"host": "https://h", "port": 443}, "https://h:443"),
        ({"host": "https://h/"}, "https://h"),
        ({"host": "h", "secure": True}, "https://h:19530"),
        ({"uri": "http://h:1"}, "http://h:1"),
        ({"uri": " http://h:1 "}, "http://h:1"),
        ({"uri": "https://in03.zilliz.example"}, "https://in03.zilliz.example"),
        ({"uri": "http://h:1", "host": "", "port": 0}, "http://h:1"),
        ({"uri": "http://h:1", "host": "  "}, "http://h:1"),
        ({"uri": "unix:/run/milvus.sock"}, "unix:/run/milvus.sock"),
        ({"uri": "./demo.db"}, "./demo.db"),
    ],
)
def test_the_address_comes_from_host_and_port_or_from_the_uri(connection, fields, uri):
    assert ConnectionSettings.of(connection(**fields)).uri == uri


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "neither host nor uri is set"),
        ({"host": ""}, "neither host nor uri is set"),
        ({"host": " \t"}, "neither host nor uri is set"),
        ({"port": 19530}, "neither host nor uri is set"),
        ({"uri": ""}, "neither host nor uri is set"),
        ({"uri": "http://h:1", "host": "h"}, "either uri in extra or host and port"),
        ({"uri": "http://h:1", "port": 19530}, "either uri in extra or host and port"),
        ({"host": "localhost:19530"}, "the port belongs into port"),
        ({"host": "h/path"}, "bare host name"),
        ({"host": "root@h"}, "host holds credentials; put them into login and password"),
        ({"uri": "http://root@h:1"}, "uri holds credentials; put them into login and password"),
        ({"host": "h", "port": 65536}, "port 65536 is not between 1 and 65535"),
        ({"host": "h", "port": -1}, "port -1 is not between 1 and 65535"),
        ({"host": "http://h", "port": 70000}, "port 70000 is not between 1 and 65535"),
        ({"host": "http://h:1", "port": 2}, "port is given twice"),
        ({"host": "ftp://h"}, "host 'ftp://h' needs a scheme"),
        ({"uri": "localhost:19530"}, "uri 'localhost:19530' needs a scheme"),
        ({"uri": "milvus"}, "uri 'milvus' needs a scheme"),
        ({"uri": "tcp://h:1"}, "needs a scheme"),
        ({"uri": "http://"}, "no usable host"),
        ({"uri": "http://:19530"}, "no usable host"),
        ({"uri": "http://h:0"}, "no usable port"),
        ({"uri": "http://h:99999"}, "not between 1 and 65535"),
        ({"uri": "http://h:port"}, "not between 1 and 65535"),
        ({"uri": "http://[::1"}, "uri 'http://[::1' has a host that cannot be read"),
        ({"uri": "http://h:1?token=x"}, "uri 'http://h:1/…' may hold host, port and database"),
        ({"uri": "http://h:1/books/films"}, "may hold host, port and database"),
        ({"uri": "http://[::1]:19530"}, "uri '::1' is an IPv6 address, which pymilvus cannot connect to"),
        ({"host": "::1"}, "host '::1' is an IPv6 address, which pymilvus cannot connect to"),
        ({"host": "[fe80::1]", "port": 7}, "is an IPv6 address"),
        (
            {"uri": "https://g-1.global-cluster.vectordb.zilliz.example:443"},
            "is a global cluster, and its primary cluster changes",
        ),
        ({"uri": "/no/such/folder/demo.db"}, "folder that does not exist: /no/such/folder"),
        ({"uri": 19530}, "extra 'uri'"),
    ],
)
def test_an_address_that_cannot_work_is_refused_by_name(connection, fields, named):
    assert named in refusal(connection(**fields))


@pytest.mark.parametrize(
    ("fields", "database"),
    [
        ({}, "default"),
        ({"database": ""}, "default"),
        ({"database": "books"}, "books"),
        ({"schema": "books"}, "books"),
        ({"schema": "books", "database": "books"}, "books"),
    ],
)
def test_the_database_comes_from_extra_or_schema(connection, fields, database):
    assert ConnectionSettings.of(connection(host="h", **fields)).database == database


def test_the_database_may_stand_in_the_uris_path(connection):
    settings = ConnectionSettings.of(connection(uri="http://h:1/books"))
    assert (settings.uri, settings.database) == ("http://h:1", "books")


def test_a_database_given_by_the_caller_replaces_the_connections_own(connection):
    given = connection(host="h", schema="books", database="films")
    assert ConnectionSettings.of(given, database="songs").database == "songs"


def test_two_different_databases_are_refused(connection):
    message = refusal(connection(uri="http://h:1/songs", schema="books", database="films"))
    assert "'books', 'films', 'songs'" in message


@pytest.mark.parametrize(
    ("fields", "token"),
    [
        ({"login": "root", "password": "Milvus"}, "root:Milvus"),
        ({"login": "root", "password": " pass with spaces "}, "root: pass with spaces "),
        ({"login": "root", "password": "a:b"}, "root:a:b"),
        ({"token": "an-api-key"}, "an-api-key"),
        ({"token": "", "login": "", "password": ""}, ""),
        ({"token": "   "}, ""),
    ],
)
def test_the_token_is_the_whole_credential(connection, fields, token):
    assert ConnectionSettings.of(connection(host="h", **fields)).token.get_secret_value() == token


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"login": "root"}, "login is set without password"),
        ({"password": SECRET}, "password is set without login"),
        ({"token": SECRET, "login": "root", "password": SECRET}, "either token or login and password"),
        ({"token": SECRET, "login": "root"}, "either token or login and password"),
        ({"token": 5}, "extra 'token'"),
    ],
)
def test_half_or_double_credentials_are_refused(connection, fields, named):
    message = refusal(connection(host="h", **fields))
    assert named in message
    assert SECRET not in message


@pytest.mark.parametrize(
    ("value", "secure"),
    [(True, True), (False, False), ("true", True), ("false", False), ("True", True), ("0", False), ("", False), (None, False)],
)
def test_secure_may_be_written_as_text(connection, value, secure):
    settings = ConnectionSettings.of(connection(host="h", secure=value))
    assert settings.secure is secure
    assert settings.uri.startswith("https://" if secure else "http://")


@pytest.mark.parametrize("secure", [None, True, False, ""])
@pytest.mark.parametrize("address", [{"uri": "https://h:1"}, {"host": "https://h:1"}])
def test_https_means_secure(connection, address, secure):
    """Also with False, which every version's form saves for a switch that nobody touched."""
    settings = ConnectionSettings.of(connection(**address, secure=secure))
    assert (settings.uri, settings.secure) == ("https://h:1", True)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"host": "h", "secure": "perhaps"}, "extra 'secure'"),
        ({"uri": "http://h:1", "secure": True}, "uri says http, yet secure is true"),
        ({"host": "http://h:1", "secure": True}, "host says http, yet secure is true"),
    ],
)
def test_a_contradiction_about_tls_is_refused(connection, fields, named):
    assert named in refusal(connection(**fields))


def test_a_plain_uri_contradicts_certificates(connection, pem):
    assert "uri says http, yet server_pem_path is set" in refusal(connection(uri="http://h:1", server_pem_path=pem))


@pytest.mark.parametrize("setting", ["server_pem_path", "ca_pem_path", "client_pem_path", "client_key_path"])
def test_a_certificate_file_that_is_missing_is_named(connection, setting):
    assert f"{setting} names a file that does not exist: /nowhere/x.pem" in refusal(
        connection(host="h", **{setting: "/nowhere/x.pem"})
    )


def test_a_key_in_place_of_its_path_is_not_shown(connection):
    told = refusal(connection(host="h", client_key_path=f"-----BEGIN PRIVATE KEY-----\n{SECRET}"))
    assert "client_key_path holds text" in told
    assert SECRET not in told


def test_a_folder_is_no_certificate(connection, tmp_path):
    assert "server_pem_path names a file that does not exist" in refusal(connection(host="h", server_pem_path=str(tmp_path)))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["client_pem_path"], "belong together"),
        (["client_key_path", "ca_pem_path"], "belong together"),
        (["client_pem_path", "client_key_path"], "need ca_pem_path too"),
        (["client_pem_path", "client_key_path", "ca_pem_path", "server_pem_path"], "server_pem_path is for one-way TLS"),
        (["ca_pem_path", "server_pem_path"], "not both"),
    ],
)
def test_certificates_that_do_not_go_together_are_refused(connection, pem, settings, named):
    assert named in refusal(connection(host="h", **dict.fromkeys(settings, pem)))


@pytest.mark.parametrize("secure", [None, True, False])
def test_certificates_turn_tls_on(connection, pem, secure):
    settings = ConnectionSettings.of(connection(host="h", server_pem_path=pem, server_name="milvus.local", secure=secure))
    assert settings.secure is True
    assert settings.uri == "https://h:19530"
    assert settings.tls == {"server_pem_path": pem, "server_name": "milvus.local"}


def test_a_certificate_authority_alone_is_what_the_server_is_trusted_by(connection, pem):
    assert ConnectionSettings.of(connection(host="h", ca_pem_path=pem)).tls == {"server_pem_path": pem}


def test_mutual_tls_takes_all_three_files(connection, pem):
    files = dict.fromkeys(["ca_pem_path", "client_pem_path", "client_key_path"], pem)
    assert ConnectionSettings.of(connection(host="h", **files)).tls == files


@pytest.mark.parametrize("setting", ["timeout", "connect_timeout"])
class TestSeconds:
    @pytest.mark.parametrize(("value", "seconds"), [(5, 5.0), (0.5, 0.5), ("7", 7.0), (" 7.5 ", 7.5)])
    def test_numbers_and_numeric_text_are_taken(self, connection, setting, value, seconds):
        assert getattr(ConnectionSettings.of(connection(host="h", **{setting: value})), setting) == seconds

    @pytest.mark.parametrize("value", ["", "  ", None])
    def test_empty_means_the_default(self, connection, setting, value):
        read = getattr(ConnectionSettings.of(connection(host="h", **{setting: value})), setting)
        assert read == {"timeout": 60.0, "connect_timeout": 10.0}[setting]

    @pytest.mark.parametrize("value", [0, -1, -0.5, "0", "-3", "soon", "5 s", "nan", "inf", "-inf", True, False, [5], {"s": 5}])
    def test_anything_else_is_refused_by_name(self, connection, setting, value):
        assert f"extra '{setting}'" in refusal(connection(host="h", **{setting: value}))


def test_an_unknown_setting_is_named_with_those_that_exist(connection):
    message = refusal(connection(host="h", tokn=SECRET))
    assert "unknown setting 'tokn'" in message
    assert "database, token" in message
    assert SECRET not in message


def test_every_wrong_setting_is_named_at_once(connection):
    message = refusal(connection(host="h", timeout=-1, secure="perhaps", nonsense=1))
    assert all(setting in message for setting in ("'timeout'", "'secure'", "'nonsense'"))


@pytest.mark.filterwarnings("ignore:Encountered:DeprecationWarning")
@pytest.mark.parametrize(("extra", "named"), [("{", "not valid JSON"), ("token", "not valid JSON"), ("[1]", "JSON object")])
def test_an_extra_that_is_no_json_object_is_refused(extra, named):
    assert named in refusal(Connection(conn_id="m", conn_type="milvus", host="h", extra=extra))


@pytest.mark.parametrize(
    "address",
    [
        {"uri": f"http://root:{SECRET}@h:19530"},
        {"uri": f"http://{SECRET}@h:19530"},
        {"uri": f"root:{SECRET}@h:19530"},
        {"uri": f"http://root:{SECRET}/@h:19530"},
        {"uri": f"http://root:{SECRET}@h:99999"},
        {"uri": f"http://h:19530?token={SECRET}"},
        {"host": f"root:{SECRET}@h"},
        {"host": f"{SECRET}@h"},
        {"host": f"http://root:{SECRET}@h"},
        {"host": f"http://root:{SECRET}@h", "port": 19530},
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(connection, address):
    assert SECRET not in refusal(connection(**address))


@pytest.mark.parametrize("fields", [{"token": SECRET}, {"login": "root", "password": SECRET}])
def test_no_text_of_the_settings_holds_the_secret(connection, fields):
    settings = ConnectionSettings.of(connection(host="h", **fields))
    assert SECRET in settings.token.get_secret_value()
    for text in (repr(settings), str(settings), settings.where, settings.model_dump_json(), f"{settings!r:.500}"):
        assert SECRET not in text


def test_a_refusal_hides_the_secret_in_its_whole_chain(connection):
    with pytest.raises(MilvusConfigurationError) as refused:
        ConnectionSettings.of(connection(host="h", token=[SECRET], timeout="x"))
    chain: list[BaseException] = [refused.value]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(before)
    assert len(chain) > 1
    assert SECRET not in "".join(f"{error} {error!r}" for error in chain)


@pytest.mark.parametrize(
    "metrics",
    [
        {"metrics_url": "http://prometheus:9090", "metrics_matchers": 'namespace="prod"'},
        {"metrics_url": "http://a:9091/metrics, http://b:9091/metrics"},
        {"metrics_url": " ", "metrics_matchers": ""},
    ],
)
def test_metrics_are_of_a_prometheus_or_of_pages(connection, metrics):
    settings = ConnectionSettings.of(connection(host="h", **metrics))
    assert [settings.metrics_url.get_secret_value() if settings.metrics_url else "", settings.metrics_matchers or ""] == [
        metrics["metrics_url"].strip(),
        metrics.get("metrics_matchers", ""),
    ]


@pytest.mark.parametrize(
    ("metrics", "named"),
    [
        ({"metrics_url": "prometheus:9090"}, "metrics_url"),
        ({"metrics_url": "http://a:9090, http://b:9091/metrics"}, "metrics_url"),
        ({"metrics_url": "http://a:9090", "metrics_matchers": "prod"}, "metrics_matchers"),
        ({"metrics_url": "http://a:9091/metrics", "metrics_matchers": 'a="b"'}, "metrics_matchers"),
        ({"metrics_matchers": 'a="b"'}, "metrics_url"),
        ({"proxies": 0}, "proxies"),
        ({"proxies": "some"}, "proxies"),
    ],
)
def test_metrics_that_cannot_be_read_so_are_refused(connection, metrics, named):
    assert named in refusal(connection(host="h", **metrics))


def test_a_password_in_the_metrics_url_is_masked_and_in_no_text(connection):
    address = f"http://user:{SECRET}@prometheus:9090"
    settings = ConnectionSettings.of(connection(host="h", metrics_url=address))
    assert SECRET in settings.secrets
    assert SECRET not in repr(settings) + str(settings) + settings.where
    assert SECRET not in refusal(connection(host="h", metrics_url=f"{address}?x"))


@pytest.mark.parametrize(
    ("extra", "rest_url", "cloud"),
    [
        ({}, None, {}),
        ({"rest_url": "http://gateway:8080/milvus/"}, "http://gateway:8080/milvus", {}),
        (
            {"rest_url": "https://api.cloud.zilliz.com", "cluster_id": "in01-0123"},
            "https://api.cloud.zilliz.com",
            {"clusterId": "in01-0123"},
        ),
        (
            {"rest_url": "https://api.cloud.zilliz.com", "project_id": "proj-1", "region_id": "aws-us-west-2"},
            "https://api.cloud.zilliz.com",
            {"projectId": "proj-1", "regionId": "aws-us-west-2"},
        ),
    ],
)
def test_imports_go_to_the_server_itself_or_to_another_address(connection, extra, rest_url, cloud):
    settings = ConnectionSettings.of(connection(host="h", **extra))
    assert settings.rest_url.get_secret_value() == rest_url if rest_url else settings.rest_url is None
    assert settings.cloud == cloud


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"rest_url": "gateway:8080"}, "rest_url 'gateway:8080' must be an http"),
        ({"rest_url": "http://"}, "rest_url"),
        ({"rest_url": "http://h:99999"}, "rest_url"),
        ({"rest_url": "http://h/?key=secret"}, "no query"),
        ({"cluster_id": "in01-0123"}, "need rest_url"),
        ({"rest_url": "http://h", "project_id": "p"}, "belong together"),
        ({"rest_url": "http://h", "cluster_id": "c", "project_id": "p", "region_id": "r"}, "not all"),
    ],
)
def test_an_address_for_imports_that_cannot_work_is_refused_by_name(connection, extra, named):
    told = refusal(connection(host="h", **extra))
    assert named in told
    assert "secret" not in told


def test_credentials_in_the_address_for_imports_are_refused_and_not_repeated(connection):
    told = refusal(connection(host="h", rest_url="http://root:secret@h"))
    assert "rest_url holds credentials" in told
    assert "secret" not in told


def test_a_wrong_connection_is_never_tried_again(connection):
    with pytest.raises(AirflowFailException):
        ConnectionSettings.of(connection())


def test_where_says_which_connection_server_and_database(connection):
    assert ConnectionSettings.of(connection(host="h", database="books")).where == (
        "Connection 'm' (http://h:19530), database 'books'"
    )


class TestFromTheEnvironment:
    """As users write connections into AIRFLOW_CONN_… variables."""

    def test_json(self, monkeypatch):
        given = {
            "conn_type": "milvus",
            "host": "h",
            "port": 19531,
            "login": "root",
            "password": SECRET,
            "extra": {"database": "books", "timeout": 5, "secure": True},
        }
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", json.dumps(given))
        settings = MilvusHook().settings
        assert (settings.uri, settings.database, settings.timeout) == ("https://h:19531", "books", 5.0)
        assert settings.token.get_secret_value() == f"root:{SECRET}"

    def test_json_with_a_uri(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", json.dumps({"conn_type": "milvus", "extra": {"uri": "http://h:1"}}))
        assert MilvusHook().settings.uri == "http://h:1"

    def test_uri(self, monkeypatch):
        monkeypatch.setenv(
            "AIRFLOW_CONN_MILVUS_DEFAULT",
            f"milvus://root:{SECRET}@host:19531/books?timeout=7.5&secure=true&server_name=m.local",
        )
        settings = MilvusHook().settings
        assert (settings.uri, settings.database) == ("https://host:19531", "books")
        assert (settings.timeout, settings.secure, settings.tls) == (7.5, True, {"server_name": "m.local"})
        assert settings.token.get_secret_value() == f"root:{SECRET}"

    def test_every_secret_is_masked(self, monkeypatch):
        masked: list[str] = []
        monkeypatch.setattr("airflow.providers.common.compat.sdk.mask_secret", masked.append)
        extra = {"uri": "http://h:1", "token": f"root:{SECRET}", "metrics_url": "http://user:p%40ssword@prometheus"}
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", json.dumps({"conn_type": "milvus", "extra": extra}))
        _ = MilvusHook().settings
        assert {SECRET, f"root:{SECRET}", "p@ssword", "p%40ssword"} == set(masked)

    def test_uri_without_port_or_credentials(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", "milvus://host")
        settings = MilvusHook().settings
        assert (settings.uri, settings.token.get_secret_value()) == ("http://host:19530", "")

    def test_uri_with_an_unknown_setting(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", "milvus://host?tls=1")
        with pytest.raises(MilvusConfigurationError, match="unknown setting 'tls'"):
            _ = MilvusHook().settings

    def test_another_type_of_connection_is_refused(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", "postgres://host")
        with pytest.raises(MilvusConfigurationError, match="of type 'postgres', not 'milvus'"):
            _ = MilvusHook().settings

    def test_the_connection_is_fetched_once_for_each_hook(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", "milvus://first")
        hook = MilvusHook()
        assert hook.settings.uri == "http://first:19530"
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", "milvus://second")
        assert hook.settings.uri == "http://first:19530"


@pytest.mark.parametrize("url", ["http://attu:8000", "https://c.example/x/{database}/{collection}?tab=1#top", " http://attu "])
def test_a_console_is_an_address_or_a_template(connection, url):
    assert ConnectionSettings.of(connection(host="h", console_url=url)).console_url == url.strip()


@pytest.mark.parametrize(
    "url",
    ["attu:8000", "ftp://attu", "http://", "http://attu/{name}", "http://attu/}", "http://at tu", "javascript:alert(1)"],
)
def test_a_console_that_is_no_address_is_refused(connection, url):
    assert "console_url" in refusal(connection(host="h", console_url=url))


def test_a_console_with_credentials_is_refused_and_they_stay_hidden(connection):
    message = refusal(connection(host="h", console_url=f"https://me:{SECRET}@attu"))
    assert "console_url" in message
    assert SECRET not in message
