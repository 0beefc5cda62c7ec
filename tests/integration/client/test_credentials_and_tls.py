"""Passwords, tokens and certificates on the real server: right ones work, and each wrong one is told apart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_milvus.client.obstacle import find_obstacle
from airflow_provider_milvus.exceptions import (
    MilvusAuthenticationError,
    MilvusConfigurationError,
    MilvusError,
    MilvusUnavailableError,
)
from airflow_provider_milvus.hooks.milvus import MilvusHook
from dev.servers.scripted import ScriptedMilvus, abort
from dev.servers.standalone import PLATFORM_HAS_IT, StandaloneServer, standalone_server
from tests.certificates import Authority
from tests.integration.support import SLACK, Connect, ends_within

needs_standalone = pytest.mark.skipif(not PLATFORM_HAS_IT, reason="there is no Milvus 2.3.5 for this platform")


def collections_through(timeout: float = 10) -> list[str]:
    with MilvusHook(timeout=timeout).client() as client:
        found: list[str] = client.list_collections()
        return found


async def collections_through_async(timeout: float = 10) -> list[str]:
    async with MilvusHook(timeout=timeout).async_client() as client:
        found: list[str] = await client.list_collections()
        return found


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneServer]:
    """A server with users: root, whose password is Milvus."""
    settings = {"common.security.authorizationEnabled": "true"}
    with standalone_server(tmp_path_factory.mktemp("guarded"), settings) as server:
        yield server


@pytest.mark.standalone
@needs_standalone
class TestUsers:
    def test_login_and_password_work(self, guarded: StandaloneServer, connect: Connect) -> None:
        connect(guarded.uri, login="root", password="Milvus")

        assert collections_through() == []
        assert asyncio.run(collections_through_async()) == []
        assert MilvusHook().test_connection()[0]

    def test_token_works(self, guarded: StandaloneServer, connect: Connect) -> None:
        connect(guarded.uri, token="root:Milvus")

        assert collections_through() == []

    @pytest.mark.parametrize(
        "credentials",
        [{"login": "root", "password": "mistaken"}, {"login": "nobody", "password": "Milvus"}, {"token": "mistaken"}, {}],
        ids=["wrong password", "wrong user", "wrong token", "none"],
    )
    def test_wrong_ones_are_told_at_once_and_apart_from_a_server_that_is_down(
        self, guarded: StandaloneServer, connect: Connect, credentials: dict[str, str]
    ) -> None:
        connect(guarded.uri, **credentials)

        with ends_within(5), pytest.raises(MilvusAuthenticationError, match="rejected the credentials") as failed:
            collections_through(timeout=30)
        with ends_within(5), pytest.raises(MilvusAuthenticationError, match="rejected the credentials"):
            asyncio.run(collections_through_async(timeout=30))
        works, message = MilvusHook().test_connection()

        assert not works
        assert "rejected the credentials" in message
        assert "mistaken" not in str(failed.value) + message
        assert "login and password, or its token" in str(failed.value)

    def test_user_without_a_privilege_is_told_so(self, guarded: StandaloneServer, connect: Connect) -> None:
        connect(guarded.uri, login="root", password="Milvus")
        with MilvusHook().client() as client:
            client.create_user("intern", "Coffee1!")
            client.create_collection("secrets", dimension=4)
        connect(guarded.uri, login="intern", password="Coffee1!")

        with pytest.raises(MilvusAuthenticationError, match="privilege"), MilvusHook(timeout=5).client() as client:
            client.release_collection("secrets")


def test_lost_password_at_connect_is_not_a_server_that_is_down(scripted: ScriptedMilvus) -> None:
    scripted.always("Connect", abort("UNAUTHENTICATED", "auth check failure, please check username and password"))

    with ends_within(SLACK), pytest.raises(MilvusAuthenticationError, match="rejected the credentials"):
        collections_through(timeout=30)

    assert len(scripted.received("Connect")) == 1


def test_token_travels_in_the_way_milvus_expects(scripted: ScriptedMilvus, connect: Connect) -> None:
    import base64

    connect(scripted.uri, login="root", password="Milvus")

    collections_through()

    (sent,) = scripted.received("ShowCollections")
    assert base64.b64decode(sent.metadata["authorization"]) == b"root:Milvus"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "theirs")


@pytest.fixture(scope="module", params=[1, 2], ids=["one-way", "mutual"])
def secured(
    request: pytest.FixtureRequest, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[StandaloneServer, bool]]:
    """A server that speaks TLS, and whether it asks for a client certificate."""
    certificate, key = authority.issue("server")
    settings = {
        "common.security.tlsMode": str(request.param),
        "tls.serverPemPath": str(certificate),
        "tls.serverKeyPath": str(key),
        "tls.caPemPath": str(authority.path),
    }
    with standalone_server(tmp_path_factory.mktemp("secured"), settings, scheme="https") as server:
        yield server, request.param == 2


@pytest.mark.standalone
@needs_standalone
class TestTls:
    def test_right_certificates_work(
        self, secured: tuple[StandaloneServer, bool], authority: Authority, connect: Connect
    ) -> None:
        server, mutual = secured
        connect(server.uri, ca_pem_path=str(authority.path), **_client_files(authority, mutual))

        assert collections_through() == []
        assert asyncio.run(collections_through_async()) == []
        assert MilvusHook().test_connection()[0]

    def test_the_servers_own_certificate_works_on_every_way(
        self, secured: tuple[StandaloneServer, bool], authority: Authority, connect: Connect
    ) -> None:
        server, mutual = secured
        if mutual:
            pytest.skip("server_pem_path is for one-way TLS")
        connect(server.uri, server_pem_path=str(authority.path.with_name("server.pem")))

        assert collections_through() == []
        settings = MilvusHook().settings
        # What is no obstacle for gRPC is none here: a wait would end with it, which a restart only interrupts.
        assert find_obstacle(settings.uri, settings.tls) is None

    def test_wrong_authority_is_a_failed_handshake(
        self, secured: tuple[StandaloneServer, bool], authority: Authority, stranger: Authority, connect: Connect
    ) -> None:
        server, mutual = secured
        connect(server.uri, ca_pem_path=str(stranger.path), **_client_files(authority, mutual))

        with ends_within(2 + SLACK), pytest.raises(MilvusUnavailableError, match="TLS"):
            collections_through(timeout=2)

    def test_without_tls_it_ends_in_time_and_points_at_tls(
        self, secured: tuple[StandaloneServer, bool], connect: Connect
    ) -> None:
        server, _ = secured
        connect(server.uri.replace("https", "http"))

        with ends_within(2 + SLACK), pytest.raises(MilvusError, match="TLS"):
            collections_through(timeout=2)

    def test_client_without_a_certificate_is_turned_away_where_one_is_asked_for(
        self, secured: tuple[StandaloneServer, bool], authority: Authority, connect: Connect
    ) -> None:
        server, mutual = secured
        connect(server.uri, ca_pem_path=str(authority.path))

        if mutual:
            with ends_within(2 + SLACK), pytest.raises(MilvusUnavailableError):
                collections_through(timeout=2)
        else:
            assert collections_through() == []


def _client_files(authority: Authority, mutual: bool) -> dict[str, str]:
    if not mutual:
        return {}
    certificate, key = authority.issue("client")
    return {"client_pem_path": str(certificate), "client_key_path": str(key)}


@pytest.mark.parametrize("setting", ["server_pem_path", "ca_pem_path", "client_pem_path", "client_key_path"])
def test_file_that_does_not_exist_is_named(connect: Connect, setting: str, tmp_path: Path) -> None:
    connect("https://127.0.0.1:1", **{setting: str(tmp_path / "missing.pem")})

    with pytest.raises(MilvusConfigurationError, match=rf"{setting} names a file that does not exist: .*missing\.pem"):
        collections_through()


def test_file_that_is_no_certificate_is_a_clear_error(connect: Connect, refused: str, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.pem"
    wrong.write_text("not a certificate")
    connect(refused.replace("http", "https"), ca_pem_path=str(wrong))

    with ends_within(2 + SLACK), pytest.raises(MilvusError):
        collections_through(timeout=2)
